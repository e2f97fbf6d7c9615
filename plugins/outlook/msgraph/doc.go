// Package msgraph is a thin client of the mail part of Microsoft Graph, v1.0:
// one account, one Client.
//
// What it keeps true:
//
//   - Every request asks for immutable ids (Prefer: IdType="ImmutableId"), also
//     the items inside a batch, so that no two forms of an id ever meet.
//   - No more requests run at once on one mailbox than Graph allows, a batch
//     counted by the items that Graph runs at once; who waits is served by
//     priority (Limiter).
//   - A request that may have been carried out is not repeated unless its
//     caller said that repeating does no harm; it ends as
//     mail.KindOutcomeUnknown instead.
//   - An access token goes to the configured host alone: links that lead
//     elsewhere are refused, redirects are not followed, upload addresses get
//     no token.
//   - No token, no address and no link is part of an error.
//
// It fails with *mail.Error whose cause is an *Error with status and codes.
// Start reading at Client.Do; batch.go holds the per-item retries.
package msgraph

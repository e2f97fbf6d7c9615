// Package oauth is the sandbox's Google sign-in: the account chooser with its
// consent screen, the token endpoint, revocation, the key set, user
// information, and service accounts.
//
// What is kept true:
//   - A refresh token is given at the first consent of a user to an app, or
//     with prompt=consent, and only for access_type=offline. It is not
//     rotated: a refresh gives a new access token and nothing else.
//   - A person may untick scopes. What was ticked is the grant; the scope that
//     the token endpoint answers says so.
//   - A grant dies as a whole: whoever revokes one of its tokens, access token
//     or refresh token, ends all that the user gave the app.
//   - Tokens are opaque, random, and kept as hashes. No restart loses a refresh
//     token or a consent; codes, access tokens and browser sessions end with
//     the process.
//
// Refusals that the real service shows to the person and not to the app
// (redirect_uri_mismatch, org_internal, ...) are pages here too: an app never
// sees them. Start reading at provider.go, then authorize.go and token.go.
package oauth

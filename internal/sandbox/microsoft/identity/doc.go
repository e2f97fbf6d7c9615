// Package identity is the sandbox's Microsoft identity platform: app
// registrations, the page where a person signs in and consents, the token
// endpoint, OpenID Connect discovery and keys.
//
// What is kept true:
//   - A code is redeemed once, within ten minutes, by the client and for the
//     redirect URI it was made for, with the verifier of its PKCE challenge.
//   - Every use of a refresh token gives a new one; the old one stays good
//     unless StrictRotation is set.
//   - Codes, refresh tokens and access tokens are kept as SHA-256 only.
//   - Every refusal is one row of the table in aadsts.go, in the shape and with
//     the texts that the real service uses, so that a client can be tested on
//     the code it must look at (error_codes), not on the status.
//
// Where the sources disagree, Settings has a field and says which default was
// chosen.
//
// # Signing in without a browser
//
// The page at GET /{tenant}/oauth2/v2.0/authorize is a plain HTML form that
// posts to the URL it was shown at. A program may skip the page and post the
// form itself, to the very same URL (the whole query included), as
// application/x-www-form-urlencoded:
//
//	user      the address of the user who signs in
//	decision  "approve" or "deny"
//
// The answer is what a browser would get: a 302 to the redirect URI with code
// and state (or error, error_description and state), or for
// response_mode=form_post a page with a form that posts them there. An unknown
// client, a redirect URI that is not registered and a user who cannot sign in
// are answered by a page (status 200) and no redirect, as the real service
// does: a client only sees that its user never came back.
//
// Start reading at provider.go, then authorize.go and token.go.
package identity

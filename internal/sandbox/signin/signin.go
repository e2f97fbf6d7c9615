// Package signin is what the sign-in pages and token endpoints of the sandbox's
// clouds share: the look of a page, the list of accounts, random tokens and
// PKCE. What a cloud asks, allows and answers is its own.
package signin

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
)

// A Directory knows the users of a cloud.
type Directory interface {
	Users() []cloud.User
	UserByAddress(address string) (cloud.User, bool)
	UserByID(id string) (cloud.User, bool)
}

// Head begins a page that stands in for a vendor's.
func Head(vendor string) string {
	return `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Sandbox sign-in</title><style>
body{font:16px/1.45 system-ui,sans-serif;background:#eef1f4;margin:0;color:#1b1b1b}
main{max-width:27rem;margin:8vh auto;background:#fff;padding:2rem 2.4rem;box-shadow:0 2px 8px #0002;border-radius:4px}
h1{font-size:1.4rem;margin:.2rem 0 1rem}.small{color:#555;font-size:.86rem}.bad{color:#a4262c}
label{display:block;padding:.5rem .4rem;border-bottom:1px solid #eee}label:hover{background:#f5f7f9}
ul{padding-left:1.2rem}button{font:inherit;padding:.45rem 1.6rem;border:1px solid #8a8886;background:#fff;cursor:pointer;margin-left:.5rem}
button.go{background:#0067b8;border-color:#0067b8;color:#fff}.row{text-align:right;margin-top:1.4rem}input[type=text]{width:100%;font:inherit;padding:.3rem;box-sizing:border-box}
@media (prefers-color-scheme:dark){body{background:#1b1b1b;color:#eee}main{background:#292929}label:hover{background:#333}label{border-color:#444}.small{color:#bbb}.bad{color:#ff9a9e}button{background:#333;color:#eee}}
</style></head><body><main><p class="small">Postern sandbox: a stand-in for a ` + template.HTMLEscapeString(vendor) + ` sign-in page. Nobody here is real.</p>`
}

// Foot ends it.
const Foot = `</main></body></html>`

// Page answers 200 with a page that nothing may frame or script.
func Page(w http.ResponseWriter, t *template.Template, data any) {
	PageStatus(w, http.StatusOK, t, data)
}

// PageStatus answers so with another status.
func PageStatus(w http.ResponseWriter, status int, t *template.Template, data any) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	// No form-action: browsers apply it to the redirect that follows the form.
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'")
	w.WriteHeader(status)
	// The browser is gone when this fails; there is nobody left to tell.
	_ = t.Execute(w, data)
}

// FormAction is the URL of the request with all its parameters, also those
// that came in a posted body, but for those of the form itself.
func FormAction(r *http.Request, form ...string) string {
	query := url.Values{}
	for k, v := range r.Form {
		if !slices.Contains(form, k) {
			query[k] = v[:1]
		}
	}
	return r.URL.Path + "?" + query.Encode()
}

// chooserLimit is how many users a page lists; with more it asks for the
// address.
const chooserLimit = 20

// A Choice is a line of the list of accounts.
type Choice struct {
	cloud.User
	Chosen bool
}

// Choices lists the accounts to choose from, none when they are too many. The
// hinted one is chosen, unless the person is to choose.
func Choices(users []cloud.User, hint string, choose bool) []Choice {
	if len(users) > chooserLimit {
		return nil
	}
	out := make([]Choice, 0, len(users))
	for _, u := range users {
		out = append(out, Choice{u, strings.EqualFold(u.Address, hint) && !choose || len(users) == 1})
	}
	return out
}

// Opaque makes a token of 384 random bits behind a prefix in the vendor's
// style.
func Opaque(prefix string) string {
	var b [48]byte
	// crypto/rand.Read never fails.
	rand.Read(b[:])
	return prefix + base64.RawURLEncoding.EncodeToString(b[:])
}

// Hash is how tokens are kept.
func Hash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// Verifies checks a PKCE verifier (RFC 7636 4.6). No method means that no
// challenge was given, and then there is no verifier.
func Verifies(method, challenge, verifier string) bool {
	switch method {
	case "":
		return verifier == ""
	case "S256":
		sum := sha256.Sum256([]byte(verifier))
		verifier = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	return subtle.ConstantTimeCompare([]byte(challenge), []byte(verifier)) == 1
}

package httpd

import (
	"bytes"
	"crypto/rand"
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"strings"

	"github.com/postern-mail/postern/internal/account"
	"github.com/postern-mail/postern/plugins/sdk/mail"
)

// maxForm bounds what an authorisation server posts back (form_post).
const maxForm = 256 << 10

// connect shows an owner who asks for what, and sends them to the provider's
// sign-in. What asks for no page, a program that follows links, is sent on at
// once; HEAD only looks.
func (s *server) connect(w http.ResponseWriter, r *http.Request) {
	token := r.PathValue("token")
	if r.Method == http.MethodHead || r.Method == http.MethodGet && strings.Contains(r.Header.Get("Accept"), "text/html") {
		asking, err := s.Accounts.Asking(r.Context(), token)
		if err != nil {
			s.failed(w, r, err)
			return
		}
		s.page(w, http.StatusOK, ask(asking))
		return
	}
	browser := s.session(w, r, token)
	to, err := s.Accounts.OpenLink(r.Context(), token, browser)
	if err != nil {
		s.failed(w, r, err)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, to, http.StatusSeeOther)
}

// ask says in words what a link is about.
func ask(a account.Asking) view {
	who, which := "An application", "your mailbox"
	if a.Application != "" {
		who = "The application at " + a.Application
	}
	if a.Address != "" {
		which = "the mailbox " + a.Address
	}
	return view{Title: "Connect your mailbox", Button: "Continue to " + a.Provider,
		Text: who + " asks for access to " + which + ". You sign in at " + a.Provider + ", which will ask for your consent; your password stays there."}
}

// sessionCookie holds the browser's secret and the link that it opened last. It
// lasts for the whole connecting, and has to come along when the provider's
// sign-in, another site, redirects here: Lax allows that for a GET.
const sessionCookie = "postern-connect"

// session gives the browser's secret, and remembers which link it opens.
func (s *server) session(w http.ResponseWriter, r *http.Request, token string) string {
	browser, _ := sessionOf(r)
	if browser == "" {
		browser = rand.Text()
	}
	http.SetCookie(w, &http.Cookie{Name: sessionCookie, Value: browser + "." + token, Path: "/",
		MaxAge: 3600, HttpOnly: true, Secure: s.Secure, SameSite: http.SameSiteLaxMode})
	return browser
}

func sessionOf(r *http.Request) (browser, token string) {
	c, err := r.Cookie(sessionCookie)
	if err != nil {
		return "", ""
	}
	browser, token, _ = strings.Cut(c.Value, ".")
	return browser, token
}

// callback takes an owner back from the provider's sign-in, by query or by
// form_post.
func (s *server) callback(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	switch r.Method {
	case http.MethodGet:
	case http.MethodPost:
		// Another site's form brings no cookie along; the page that the browser
		// then asks for itself does.
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		if err := r.ParseForm(); err != nil {
			s.failed(w, r, mail.Errorf(mail.KindInvalid, "connect", "the answer cannot be read"))
			return
		}
		http.Redirect(w, r, r.URL.EscapedPath()+"?"+r.Form.Encode(), http.StatusSeeOther)
		return
	default:
		w.Header().Set("Allow", "GET, POST")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	browser, _ := sessionOf(r)
	f, err := s.Accounts.Callback(r.Context(), r.PathValue("provider"), browser, r.URL.Query())
	if err != nil {
		s.failed(w, r, err)
		return
	}
	if f.Err != nil {
		s.Log.WarnContext(r.Context(), "account not connected", "provider", r.PathValue("provider"), "kind", mail.KindOf(f.Err), "error", f.Err)
	}
	switch {
	case f.Approval != nil:
		s.answered(w, f)
	case f.ApprovalURL != "":
		s.handOn(w, r, f)
	case f.Return != "":
		http.Redirect(w, r, f.Return, http.StatusSeeOther)
	case f.Err != nil:
		s.failed(w, r, f.Err)
	default:
		s.page(w, http.StatusOK, view{Title: "Connected", Text: f.Address + " is connected. You can close this page."})
	}
}

// handOn shows an owner who may not consent the link for somebody who may. The
// way back to the application goes over this page, for the link would be lost
// otherwise.
func (s *server) handOn(w http.ResponseWriter, r *http.Request, f *account.Finished) {
	v := view{Title: "An administrator must allow this application", Code: account.ErrorCode(f.Err), Share: f.ApprovalURL,
		Text: "Your organisation lets only its administrators allow applications to read mail. " +
			"Send this link to one of them. Once they have allowed it, connect again: it works then."}
	s.again(&v, r, f.Err)
	if u, err := url.Parse(f.Return); err == nil && f.Return != "" {
		v.Back, v.BackText = f.Return, "Back to "+u.Host
	}
	s.page(w, http.StatusForbidden, v)
}

// answered tells an administrator what their answer was, and what happens next.
func (s *server) answered(w http.ResponseWriter, f *account.Finished) {
	again := "They open the link that they were given once more."
	if f.Approval.Application != "" {
		again = "They connect again from " + f.Approval.Application + "."
	}
	if f.Err == nil {
		s.page(w, http.StatusOK, view{Title: "The application is allowed",
			Text: "Whoever sent you the link can connect their mailbox at " + f.Approval.Provider + " now. " + again + " You can close this page."})
		return
	}
	status, ok := statuses[mail.KindOf(f.Err)]
	if !ok {
		status = http.StatusInternalServerError
	}
	s.page(w, status, view{Title: "The application was not allowed", Code: account.ErrorCode(f.Err),
		Text: "Nothing was changed, and whoever sent you the link cannot connect their mailbox at " + f.Approval.Provider +
			". To allow it after all, open the link again, signed in as an administrator of your organisation."})
}

// statuses maps kinds of error to HTTP, for pages and probes.
var statuses = map[mail.Kind]int{
	mail.KindThrottled: http.StatusTooManyRequests, mail.KindUnavailable: http.StatusServiceUnavailable,
	mail.KindUnauthorized: http.StatusUnauthorized, mail.KindForbidden: http.StatusForbidden,
	mail.KindGrantExpired: http.StatusForbidden, mail.KindMisconfigured: http.StatusServiceUnavailable,
	mail.KindNotFound: http.StatusNotFound, mail.KindInvalid: http.StatusBadRequest,
	mail.KindConflict: http.StatusConflict, mail.KindTooLarge: http.StatusRequestEntityTooLarge,
}

// failed shows an owner what went wrong and what to do.
func (s *server) failed(w http.ResponseWriter, r *http.Request, err error) {
	status, ok := statuses[mail.KindOf(err)]
	if !ok {
		status = http.StatusInternalServerError
	}
	v := view{Title: "Not connected", Code: account.ErrorCode(err), Text: "Something went wrong on our side. Please try again later."}
	var e *mail.Error
	browser, _ := sessionOf(r)
	switch {
	case v.Code == "other_browser" && browser == "":
		// The provider's answer is only taken from the browser that asked, and
		// what shows that is the cookie.
		v.Title = "Cookies are needed"
		v.Text = "Your browser sent no cookie along, which is how we know that it was you who began to connect. " +
			"Allow cookies for " + r.Host + ", then open the link that you were given once more and stay in the same browser and window mode."
	case v.Code == "access_denied":
		v.Text = "Access was not granted. Open the link again to try once more."
	case status < 500 && errors.As(err, &e) && e.Message != "":
		v.Text = e.Message
	case status >= 500:
		s.Log.ErrorContext(r.Context(), "connecting failed", "path", "connect", "error", err)
	}
	s.again(&v, r, err)
	s.page(w, status, v)
}

// again offers to begin anew where that can help.
func (s *server) again(v *view, r *http.Request, err error) {
	var again *account.Again
	_, token := sessionOf(r)
	switch {
	case errors.As(err, &again):
		v.Link = again.URL
	case token != "" && strings.HasPrefix(r.URL.Path, "/oauth/") && !strings.HasPrefix(v.Code, "link_"):
		// The link is good until an account was connected through it.
		v.Link = "/connect/" + url.PathEscape(token)
	}
	if v.Code == "state_expired" || v.Code == "link_expired" {
		v.Title, v.Text = "Your session expired", "Your session expired. Connect again to go on."
		if v.Link == "" {
			v.Text = "Your session expired. To connect again, ask for a new link."
		}
	}
	if v.Link != "" {
		v.LinkText = "Connect again"
	}
}

// home says that a gateway answers here.
func (s *server) home(w http.ResponseWriter, _ *http.Request) {
	v := view{Title: "Postern", Text: "This is a mail gateway. Its API answers POST /graphql."}
	if s.GraphiQL != nil {
		v.Link, v.LinkText = "/graphiql", "Open the API explorer"
	}
	s.page(w, http.StatusOK, v)
}

// view is what a page shows. Button posts back to where the page is, Share is a
// link to hand on.
type view struct{ Title, Text, Code, Share, Link, LinkText, Back, BackText, Button string }

var page = template.Must(template.New("page").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.Title}}</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:34rem;margin:15vh auto;padding:0 1rem;color:#1b1f24;overflow-wrap:anywhere}
h1{font-size:1.6rem}code{background:#eef1f4;padding:.1rem .3rem;border-radius:.2rem}
button,.button{display:inline-block;font:inherit;padding:.5rem 1rem;border:0;border-radius:.3rem;background:#1f5fbf;color:#fff;text-decoration:none;cursor:pointer}
@media(prefers-color-scheme:dark){body{background:#14171a;color:#e6e9ec}code{background:#262b30}a{color:#8ab4f8}.button{color:#fff}}</style>
</head><body><main><h1>{{.Title}}</h1><p>{{.Text}}</p>
{{with .Share}}<p><a id="share" href="{{.}}" rel="noreferrer">{{.}}</a></p>{{end}}
{{with .Code}}<p>Code: <code>{{.}}</code></p>{{end}}
{{with .Button}}<form method="post"><button>{{.}}</button></form>{{end}}
{{with .Link}}<p><a class="button" href="{{.}}">{{$.LinkText}}</a></p>{{end}}
{{with .Back}}<p><a href="{{.}}">{{$.BackText}}</a></p>{{end}}</main></body></html>
`))

func (s *server) page(w http.ResponseWriter, status int, v view) {
	var buf bytes.Buffer
	if err := page.Execute(&buf, v); err != nil {
		http.Error(w, v.Text, status)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
	w.WriteHeader(status)
	_, _ = w.Write(buf.Bytes())
}

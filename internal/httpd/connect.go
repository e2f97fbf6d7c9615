package httpd

import (
	"bytes"
	"errors"
	"html/template"
	"net/http"

	"github.com/postern-mail/postern/internal/account"
	"github.com/postern-mail/postern/plugins/sdk/mail"
)

// maxForm bounds what an authorisation server posts back (form_post).
const maxForm = 256 << 10

// connect sends an owner to the provider's sign-in.
func (s *server) connect(w http.ResponseWriter, r *http.Request) {
	to, err := s.Accounts.OpenLink(r.Context(), r.PathValue("token"))
	if err != nil {
		s.failed(w, r, err)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, to, http.StatusFound)
}

// callback takes an owner back from the provider's sign-in, by query or by
// form_post.
func (s *server) callback(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodPost {
		w.Header().Set("Allow", "GET, POST")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		s.failed(w, r, mail.Errorf(mail.KindInvalid, "connect", "the answer cannot be read"))
		return
	}
	f, err := s.Accounts.Callback(r.Context(), r.PathValue("provider"), r.Form)
	if err != nil {
		s.failed(w, r, err)
		return
	}
	if f.Err != nil {
		s.Log.WarnContext(r.Context(), "account not connected", "provider", r.PathValue("provider"), "kind", mail.KindOf(f.Err), "error", f.Err)
	}
	w.Header().Set("Cache-Control", "no-store")
	switch {
	case f.Return != "":
		http.Redirect(w, r, f.Return, http.StatusSeeOther)
	case f.Err != nil:
		s.failed(w, r, f.Err)
	default:
		s.page(w, http.StatusOK, view{Title: "Connected", Text: f.Address + " is connected. You can close this page."})
	}
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
	switch {
	case mail.KindOf(err) == mail.KindForbidden:
		v.Text = "Access was not granted. Open the link again to try once more."
	case status < 500 && errors.As(err, &e) && e.Message != "":
		v.Text = e.Message
	case status >= 500:
		s.Log.ErrorContext(r.Context(), "connecting failed", "path", "connect", "error", err)
	}
	s.page(w, status, v)
}

// home says that a gateway answers here.
func (s *server) home(w http.ResponseWriter, _ *http.Request) {
	v := view{Title: "Postern", Text: "This is a mail gateway. Its API answers POST /graphql."}
	if s.GraphiQL != nil {
		v.Link, v.LinkText = "/graphiql", "Open the API explorer"
	}
	s.page(w, http.StatusOK, v)
}

type view struct{ Title, Text, Code, Link, LinkText string }

var page = template.Must(template.New("page").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.Title}}</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:34rem;margin:15vh auto;padding:0 1rem;color:#1b1f24}
h1{font-size:1.6rem}code{background:#eef1f4;padding:.1rem .3rem;border-radius:.2rem}
@media(prefers-color-scheme:dark){body{background:#14171a;color:#e6e9ec}code{background:#262b30}a{color:#8ab4f8}}</style>
</head><body><main><h1>{{.Title}}</h1><p>{{.Text}}</p>
{{with .Code}}<p>Code: <code>{{.}}</code></p>{{end}}
{{with .Link}}<p><a href="{{.}}">{{$.LinkText}}</a></p>{{end}}</main></body></html>
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

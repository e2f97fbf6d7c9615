package identity

import (
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
)

// chooserLimit is how many users the page lists as buttons; with more it asks
// for the address.
const chooserLimit = 20

const pageHead = `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Sandbox sign-in</title><style>
body{font:16px/1.45 system-ui,sans-serif;background:#eef1f4;margin:0;color:#1b1b1b}
main{max-width:27rem;margin:8vh auto;background:#fff;padding:2rem 2.4rem;box-shadow:0 2px 8px #0002;border-radius:4px}
h1{font-size:1.4rem;margin:.2rem 0 1rem}.small{color:#555;font-size:.86rem}.bad{color:#a4262c}
label{display:block;padding:.5rem .4rem;border-bottom:1px solid #eee}label:hover{background:#f5f7f9}
ul{padding-left:1.2rem}button{font:inherit;padding:.45rem 1.6rem;border:1px solid #8a8886;background:#fff;cursor:pointer;margin-left:.5rem}
button.go{background:#0067b8;border-color:#0067b8;color:#fff}.row{text-align:right;margin-top:1.4rem}input[type=text]{width:100%;font:inherit;padding:.3rem;box-sizing:border-box}
@media (prefers-color-scheme:dark){body{background:#1b1b1b;color:#eee}main{background:#292929}label:hover{background:#333}label{border-color:#444}.small{color:#bbb}.bad{color:#ff9a9e}button{background:#333;color:#eee}}
</style></head><body><main><p class="small">Postern sandbox: a stand-in for a Microsoft sign-in page. Nobody here is real.</p>`

const pageFoot = `</main></body></html>`

var (
	signInTemplate = template.Must(template.New("sign-in").Parse(pageHead + `
<h1>{{.App}} asks for permission</h1>
{{with .Problem}}<p class="bad" role="alert">{{.}}</p>{{end}}
<form method="post" action="{{.Action}}">
<p>Sign in as</p>
{{if .Users}}{{range .Users}}<label><input type="radio" name="user" value="{{.Address}}"{{if .Chosen}} checked{{end}} required> {{.Name}} <span class="small">{{.Address}}</span></label>
{{end}}{{else}}<label>Address <input type="text" name="user" value="{{.Hint}}" autocomplete="off" required></label>
{{end}}<p>This application would like to:</p>
<ul>{{range .Wants}}<li>{{.}}</li>{{end}}</ul>
<p class="small">It will return you to {{.Back}}</p>
<div class="row"><button type="submit" name="decision" value="deny" formnovalidate>Deny</button><button class="go" type="submit" name="decision" value="approve">Approve</button></div>
</form>` + pageFoot))

	problemTemplate = template.Must(template.New("problem").Parse(pageHead + `
<h1>Sorry, but we’re having trouble signing you in.</h1><p class="bad" role="alert">{{.}}</p>` + pageFoot))

	signedOut = template.Must(template.New("signed-out").Parse(pageHead + `<h1>You signed out.</h1>` + pageFoot))

	// OAuth 2.0 Form Post Response Mode, section 2.
	formPostTemplate = template.Must(template.New("form-post").Parse(`<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Working...</title></head>
<body onload="document.forms[0].submit()"><form method="post" action="{{.Action}}">
{{range $k, $v := .Params}}<input type="hidden" name="{{$k}}" value="{{index $v 0}}">
{{end}}<noscript><p>Scripts are off. Press the button to go on.</p><button type="submit">Continue</button></noscript></form></body></html>`))
)

// wants says in words what a permission lets an app do.
func wants(name string) string {
	switch name {
	case "openid", "profile", "email", "User.Read":
		return "Sign you in and read your profile"
	case "offline_access":
		return "Keep access to what you have given it access to"
	case "Mail.Read", "Mail.ReadBasic":
		return "Read your mail"
	case "Mail.ReadWrite":
		return "Read and write your mail"
	case "Mail.Send":
		return "Send mail as you"
	case "MailboxSettings.Read":
		return "Read your mailbox settings"
	case "MailboxSettings.ReadWrite":
		return "Read and write your mailbox settings"
	}
	return name
}

type choice struct {
	cloud.User
	Chosen bool
}

func (p *Provider) signInPage(w http.ResponseWriter, r *http.Request, req *request, problem string) {
	data := struct {
		App, Problem, Action, Hint, Back string
		Users                            []choice
		Wants                            []string
	}{App: req.app.Name, Problem: problem, Hint: req.hint, Back: req.redirect, Action: formAction(r)}
	for _, n := range p.names(req.scopes) {
		if text := wants(n); !slices.Contains(data.Wants, text) {
			data.Wants = append(data.Wants, text)
		}
	}
	users := p.users.Users()
	if len(users) <= chooserLimit {
		for _, u := range users {
			hinted := strings.EqualFold(u.Address, req.hint) && req.prompt != "select_account"
			data.Users = append(data.Users, choice{u, hinted || len(users) == 1})
		}
	}
	page(w, signInTemplate, data)
}

// formAction is the URL of the request with all its parameters, also those
// that came in a posted body.
func formAction(r *http.Request) string {
	query := url.Values{}
	for k, v := range r.Form {
		if k != "user" && k != "decision" {
			query[k] = v[:1]
		}
	}
	return r.URL.Path + "?" + query.Encode()
}

// refusePage tells the person, and not the client. The real service answers
// these with status 200.
func (p *Provider) refusePage(w http.ResponseWriter, _ *http.Request, why *refusal) {
	p.log.Info("sign-in refused", "code", why.code)
	page(w, problemTemplate, why.description())
}

func page(w http.ResponseWriter, t *template.Template, data any) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	// No form-action: browsers apply it to the redirect that follows the form.
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'")
	// The browser is gone when this fails; there is nobody left to tell.
	_ = t.Execute(w, data)
}

func formPostPage(w http.ResponseWriter, action string, params url.Values) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'unsafe-inline'; base-uri 'none'")
	_ = formPostTemplate.Execute(w, struct {
		Action string
		Params url.Values
	}{action, params})
}

package identity

import (
	"html/template"
	"net/http"
	"net/url"
	"slices"

	"github.com/postern-mail/postern/internal/sandbox/signin"
)

var (
	signInTemplate = template.Must(template.New("sign-in").Parse(signin.Head("Microsoft") + `
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
</form>` + signin.Foot))

	problemTemplate = template.Must(template.New("problem").Parse(signin.Head("Microsoft") + `
<h1>Sorry, but we’re having trouble signing you in.</h1><p class="bad" role="alert">{{.}}</p>` + signin.Foot))

	signedOut = template.Must(template.New("signed-out").Parse(signin.Head("Microsoft") + `<h1>You signed out.</h1>` + signin.Foot))

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

func (p *Provider) signInPage(w http.ResponseWriter, r *http.Request, req *request, problem string) {
	signin.Page(w, signInTemplate, p.view(r, req, problem, signin.Choices(p.users.Users(), req.hint, req.prompt == "select_account")))
}

// view is what a page shows that asks for consent.
type view struct {
	App, Problem, Action, Hint, Back string
	Users                            []signin.Choice
	Wants                            []string
}

func (p *Provider) view(r *http.Request, req *request, problem string, users []signin.Choice) view {
	data := view{App: req.app.Name, Problem: problem, Hint: req.hint, Back: req.redirect, Users: users, Action: signin.FormAction(r, "user", "decision")}
	for _, n := range p.names(req.scopes) {
		if text := wants(n); !slices.Contains(data.Wants, text) {
			data.Wants = append(data.Wants, text)
		}
	}
	return data
}

// refusePage tells the person, and not the client. The real service answers
// these with status 200.
func (p *Provider) refusePage(w http.ResponseWriter, _ *http.Request, why *refusal) {
	p.log.Info("sign-in refused", "code", why.code)
	signin.Page(w, problemTemplate, why.description())
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

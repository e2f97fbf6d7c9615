package oauth

import (
	"fmt"
	"html/template"
	"net/http"

	"github.com/postern-mail/postern/internal/sandbox/signin"
)

var (
	consentTemplate = template.Must(template.New("consent").Parse(signin.Head("Google") + `
<h1>{{.App}} wants access to your Google Account</h1>
{{with .Problem}}<p class="bad" role="alert">{{.}}</p>{{end}}
{{if .Testing}}<p class="small">Google hasn’t verified this app. It is being tested.</p>{{end}}
<form method="post" action="{{.Action}}"><input type="hidden" name="granular" value="1">
<p>Choose an account</p>
{{if .Users}}{{range .Users}}<label><input type="radio" name="user" value="{{.Address}}"{{if .Chosen}} checked{{end}} required> {{.Name}} <span class="small">{{.Address}}</span></label>
{{end}}{{else}}<label>Address <input type="text" name="user" value="{{.Hint}}" autocomplete="off" required></label>
{{end}}{{if .Always}}<p>{{.App}} will see:</p>
<ul>{{range .Always}}<li>{{.}}</li>{{end}}</ul>
{{end}}{{if .Boxes}}<p>Select what {{.App}} can access</p>
{{range .Boxes}}<label><input type="checkbox" name="grant" value="{{.Scope}}"{{if not $.Unticked}} checked{{end}}> {{.Text}}</label>
{{end}}{{end}}<p class="small">It will return you to {{.Back}}</p>
<div class="row"><button type="submit" name="decision" value="deny" formnovalidate>Cancel</button><button class="go" type="submit" name="decision" value="approve">Continue</button></div>
</form>` + signin.Foot))

	problemTemplate = template.Must(template.New("problem").Parse(signin.Head("Google") + `
<h1>Access blocked</h1><p class="bad" role="alert">{{.}}</p>` + signin.Foot))
)

// wants says in words what a scope lets an app do.
func wants(scope string) string {
	switch scope {
	case scopeOpenID:
		return "Who you are on Google"
	case scopeEmail:
		return "Your primary Google Account email address"
	case scopeProfile:
		return "Your personal info, including any you have made publicly available"
	case "https://mail.google.com/":
		return "Read, compose, send, and permanently delete all your email from Gmail"
	case "https://www.googleapis.com/auth/gmail.modify":
		return "Read, compose, and send emails from your Gmail account"
	case "https://www.googleapis.com/auth/gmail.readonly":
		return "View your email messages and settings"
	case "https://www.googleapis.com/auth/gmail.send":
		return "Send email on your behalf"
	case "https://www.googleapis.com/auth/gmail.labels":
		return "See and edit your email labels"
	case "https://www.googleapis.com/auth/gmail.settings.basic":
		return "See, edit, create, or change your email settings and filters in Gmail"
	}
	return scope
}

type box struct{ Scope, Text string }

func (p *Provider) consentPage(w http.ResponseWriter, r *http.Request, req *request, problem string) {
	data := struct {
		App, Problem, Action, Hint, Back string
		Testing, Unticked                bool
		Users                            []signin.Choice
		Always                           []string
		Boxes                            []box
	}{
		App: req.app.Name, Problem: problem, Hint: req.hint, Back: req.redirect, Testing: req.app.Testing, Unticked: p.settings.Unticked,
		Action: signin.FormAction(r, "user", "decision", "granular", "grant"),
		Users:  signin.Choices(p.users.Users(), req.hint, req.choose),
	}
	for _, s := range req.scopes {
		if isIdentity(s) {
			data.Always = append(data.Always, wants(s))
		} else {
			data.Boxes = append(data.Boxes, box{s, wants(s)})
		}
	}
	signin.Page(w, consentTemplate, data)
}

// refusePage tells the person, and not the app.
func (p *Provider) refusePage(w http.ResponseWriter, why *refusal) {
	p.log.Info("sign-in refused", "error", why.name)
	signin.PageStatus(w, why.status, problemTemplate, fmt.Sprintf("Error %d: %s. %s", why.status, why.name, why.description))
}

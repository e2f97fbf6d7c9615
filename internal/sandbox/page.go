package sandbox

import (
	"context"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
	"github.com/postern-mail/postern/internal/sandbox/traffic"
)

var pageTemplate = template.Must(template.New("control").Parse(`<!doctype html><html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><title>Postern sandbox</title><style>
body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:62rem;padding:0 1rem;color:#1b1b1b;background:#fff}
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.25rem .6rem .25rem 0;border-bottom:1px solid #ddd;vertical-align:top}
h2{margin-top:2rem}code{background:#f2f2f2;padding:0 .2rem}.num{text-align:right}.done{background:#dff6dd;padding:.5rem .8rem}.bad{background:#fde7e9;padding:.5rem .8rem}
form.box{display:grid;grid-template-columns:8rem 1fr;gap:.4rem .8rem;max-width:40rem}input,select,textarea,button{font:inherit}textarea{min-height:6rem}
@media (prefers-color-scheme:dark){body{background:#1b1b1b;color:#eee}td,th{border-color:#444}code{background:#333}.done{background:#24401f}.bad{background:#4d1f22}a{color:#8cc8ff}}
</style></head><body>
<h1>Postern sandbox</h1>
{{with .Done}}<p class="done" role="status">{{.}}</p>{{end}}{{with .Problem}}<p class="bad" role="alert">{{.}}</p>{{end}}
<p>Microsoft <code>{{.State.Microsoft}}</code>, Google <code>{{.State.Google}}</code>, SMTP <code>{{.State.SMTP}}</code>, apps <code>{{.State.ClientID}}</code> and <code>{{.State.GoogleClientID}}</code>.
Authority <a href="/control/ca">ca.pem</a>{{with .State.CAFile}} (<code>{{.}}</code>){{end}}, all of it as <a href="/control/state">JSON</a>.</p>

<h2>Users</h2><table><tr><th>Cloud</th><th>Address</th><th>Name</th><th class="num">Messages</th></tr>
{{range .Users}}<tr><td>{{.Cloud}}</td><td>{{.Address}}</td><td>{{.Name}}</td><td class="num"><a href="/control/users/{{.Address}}/messages">{{.Messages}}</a></td></tr>{{end}}</table>
<h3>Add a user</h3><form method="post" class="box"><input type="hidden" name="do" value="user">
<label for="a">Address</label><input id="a" name="address" required><label for="n">Name</label><input id="n" name="name"><span></span><button>Add</button></form>

<h2>Deliver a mail</h2><form method="post" class="box"><input type="hidden" name="do" value="deliver">
<label for="t">To</label><select id="t" name="to">{{range .Users}}<option>{{.Address}}</option>{{end}}</select>
<label for="f">From</label><input id="f" name="from" value="a.visitor@elsewhere.example">
<label for="s">Subject</label><input id="s" name="subject" value="Hello from the sandbox"><label for="x">Text</label><textarea id="x" name="text">Just a line to see whether it arrives.</textarea>
<span></span><button>Deliver</button></form>

<h2>Faults</h2>{{if .Faults}}<table><tr><th>User</th><th>Match</th><th>What</th></tr>
{{range .Faults}}<tr><td>{{.User}}</td><td><code>{{.Match}}</code></td><td>{{.What}}</td></tr>{{end}}</table>
<form method="post"><input type="hidden" name="do" value="clear"><button>End all faults</button></form>{{else}}<p>None.</p>{{end}}
<h3>Set a fault</h3><form method="post" class="box"><input type="hidden" name="do" value="fault">
<label for="u">User</label><select id="u" name="user"><option value="">everybody</option>{{range .Users}}<option>{{.Address}}</option>{{end}}</select>
<label for="m">Match</label><input id="m" name="match" placeholder="POST /me/sendMail"><label for="st">Status</label><input id="st" name="status" inputmode="numeric" placeholder="503">
<label for="d">Delay, ms</label><input id="d" name="delay" inputmode="numeric"><label for="c">Cut</label><label><input id="c" type="checkbox" name="cut"> execute, then cut the connection</label>
<span></span><button>Set</button></form>

<h2>Counters</h2><p>{{.Report.MessagesSent}} messages sent.{{range $k, $v := .Report.Authorize}} Sign-ins {{$k}}: {{$v}}.{{end}}
{{range $g, $o := .Report.Tokens}}{{range $k, $v := $o}} Tokens {{$g}} {{$k}}: {{$v}}.{{end}}{{end}}
{{range $k, $v := .Report.Notifications}} Notifications {{$k}}: {{$v}}.{{end}}</p>
<table><tr><th>Request</th><th>Status</th><th class="num">Count</th></tr>
{{range .Report.Requests}}<tr><td><code>{{.Method}} {{.Path}}</code></td><td>{{if .Status}}{{.Status}}{{else}}cut{{end}}</td><td class="num">{{.Count}}</td></tr>{{end}}</table>
</body></html>`))

type pageUser struct {
	userInfo
	Messages int
}

type pageFault struct{ User, Match, What string }

// pageUsers is how many users the page shows with their message counts.
const pageUsers = 50

func (s *Sandbox) controlPage(w http.ResponseWriter, r *http.Request) {
	data := struct {
		State         State
		Users         []pageUser
		Faults        []pageFault
		Report        traffic.Report
		Done, Problem string
	}{State: s.state, Report: s.counters.Report("", ""), Done: r.URL.Query().Get("done"), Problem: r.URL.Query().Get("problem")}
	for _, c := range s.clouds {
		for _, u := range c.Users() {
			if len(data.Users) == pageUsers {
				break
			}
			messages, err := c.Messages(u.Address)
			if err != nil {
				continue // removed this very moment
			}
			data.Users = append(data.Users, pageUser{userInfo{c.Name(), u}, len(messages)})
		}
	}
	for _, f := range s.faults.List() {
		data.Faults = append(data.Faults, pageFault{f.User, f.Match, describe(f)})
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
	// The browser is gone when this fails; there is nobody left to tell.
	_ = pageTemplate.Execute(w, data)
}

// describe says in words what a fault does.
func describe(f traffic.Fault) string {
	var parts []string
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	if f.Status != 0 {
		add("status %d", f.Status)
	}
	if f.AADSTS != 0 {
		add("AADSTS%d", f.AADSTS)
	}
	if f.DelayMS > 0 {
		add("answer after %d ms", f.DelayMS)
	}
	if f.CutAfter {
		add("cut after execution")
	}
	if f.DeltaLagMS > 0 {
		add("delta lags %d ms", f.DeltaLagMS)
	}
	if n := f.Notifications; n != nil {
		add("notifications: drop %v, double %v, delay %d ms", n.Drop, n.Double, n.DelayMS)
	}
	if f.Rate > 0 {
		add("rate %g", f.Rate)
	}
	if f.Times > 0 {
		add("%d times", f.Times)
	}
	return strings.Join(parts, ", ")
}

// controlForm takes the page's forms and goes back to the page.
func (s *Sandbox) controlForm(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxControl)
	done, err := "", r.ParseForm()
	if err == nil {
		done, err = s.doForm(r.Context(), r.PostForm)
	}
	back := url.Values{"done": {done}}
	if err != nil {
		back = url.Values{"problem": {err.Error()}}
	}
	http.Redirect(w, r, "/?"+back.Encode(), http.StatusSeeOther)
}

func (s *Sandbox) doForm(ctx context.Context, form url.Values) (done string, err error) {
	number := func(name string) int {
		text := strings.TrimSpace(form.Get(name))
		if text == "" {
			return 0
		}
		n, convErr := strconv.Atoi(text)
		if convErr != nil && err == nil {
			err = fmt.Errorf("%s must be a number", name)
		}
		return n
	}
	switch form.Get("do") {
	case "user":
		u, err := s.newUser(User{Address: form.Get("address"), Name: form.Get("name")})
		return u.Address + " was added.", err
	case "deliver":
		return "Delivered.", s.deliverForm(ctx, form)
	case "fault":
		f := traffic.Fault{User: form.Get("user"), Match: form.Get("match"), Status: number("status"), DelayMS: number("delay"), CutAfter: form.Has("cut")}
		if err != nil {
			return "", err
		}
		return "The fault is set.", s.faults.Put(f)
	case "clear":
		s.faults.Clear()
		s.applyDeltaLag()
		return "No faults.", nil
	}
	return "", fmt.Errorf("unknown form")
}

func (s *Sandbox) deliverForm(ctx context.Context, form url.Values) error {
	c, u, ok := s.post.find(form.Get("to"))
	if !ok {
		return fmt.Errorf("no user %s", form.Get("to"))
	}
	now := s.opts.Now().UTC()
	raw := fmt.Sprintf("From: %s\r\nTo: %s\r\nSubject: %s\r\nDate: %s\r\nMessage-ID: <%s@%s>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n%s\r\n",
		oneLine(form.Get("from")), u.Address, oneLine(form.Get("subject")), now.Format("Mon, 02 Jan 2006 15:04:05 -0700"),
		uuid.NewString(), hostName, strings.ReplaceAll(form.Get("text"), "\r\n", "\n"))
	_, err := c.Deliver(ctx, u.Address, cloud.Delivery{Date: now, Notify: true, Raw: crlf([]byte(raw))})
	return err
}

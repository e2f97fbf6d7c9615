package gmail

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// A handler executes a method. What it returns is the answer's JSON; nil is an
// empty answer, 204. An error that is no *Error is told as 500.
type handler func(*call) (any, error)

// A call is one request on its way to its handler.
type call struct {
	s      *Server
	method *method
	caller Caller
	mb     *mailbox // of the caller, which userId names
	w      http.ResponseWriter
	r      *http.Request
	path   map[string]string // "id", "messageId", ... without userId
	query  url.Values
	upload string // "", "upload" or "resumable/upload"
	mask   mask   // of the answer
	now    time.Time
}

func (c *call) ctx() context.Context { return c.r.Context() }

// locked runs f with the caller's mailbox locked.
func (c *call) locked(f func() error) error { return c.s.locked(c.mb, f) }

// allows reports whether the token has one of the scopes.
func (c *call) allows(scopes ...string) bool {
	return slices.ContainsFunc(scopes, func(s string) bool { return slices.Contains(c.caller.Scopes, s) })
}

// A route is a method with its handler and its path taken apart.
type route struct {
	method
	segments []string
	serve    handler
}

func (s *Server) makeRoutes() []route {
	handlers := s.readHandlers()
	for id, h := range s.writeHandlers() {
		handlers[id] = h
	}
	var rs []route
	for _, m := range append(methods(), encryptionMethods()...) {
		rs = append(rs, route{method: m, segments: strings.Split(m.path, "/"), serve: handlers[m.id]})
	}
	return rs
}

// readHandlers are the methods of the reading half, by id.
func (s *Server) readHandlers() map[string]handler {
	const users = "gmail.users."
	return map[string]handler{
		users + "getProfile": s.getProfile,

		users + "labels.list": s.listLabels, users + "labels.get": s.getLabel, users + "labels.create": s.createLabel,
		users + "labels.update": s.updateLabel, users + "labels.patch": s.patchLabel, users + "labels.delete": s.deleteLabel,

		users + "messages.list": s.listMessages, users + "messages.get": s.getMessage, users + "messages.attachments.get": s.getAttachment,
		users + "messages.modify": s.modifyMessage, users + "messages.trash": s.trashMessage, users + "messages.untrash": s.untrashMessage,
		users + "messages.delete": s.deleteMessage, users + "messages.batchModify": s.batchModify, users + "messages.batchDelete": s.batchDelete,

		users + "threads.list": s.listThreads, users + "threads.get": s.getThread, users + "threads.modify": s.modifyThread,
		users + "threads.trash": s.trashThread, users + "threads.untrash": s.untrashThread, users + "threads.delete": s.deleteThread,

		users + "history.list": s.listHistory,
	}
}

// match finds a request's method. Uploads have the paths of their methods
// under a root of their own; the pieces of a resumable upload may be PUT as
// well as POSTed.
func (s *Server) match(r *http.Request) (*route, map[string]string, string) {
	p, upload := r.URL.EscapedPath(), ""
	for _, root := range []string{"upload", "resumable/upload"} {
		if rest, ok := strings.CutPrefix(p, "/"+root+"/"); ok {
			p, upload = "/"+rest, root
			break
		}
	}
	piece := upload != "" && r.URL.Query().Has("upload_id")
	segments := strings.Split(p, "/")
	for i := range s.routes {
		rt := &s.routes[i]
		if upload != "" && !rt.upload || rt.verb != r.Method && !(piece && r.Method == http.MethodPut) {
			continue
		}
		if values, ok := bind(rt.segments, segments); ok {
			return rt, values, upload
		}
	}
	return nil, nil, ""
}

// bind matches a path with a template of {names} and takes the values out.
func bind(template, path []string) (map[string]string, bool) {
	if len(template) != len(path) {
		return nil, false
	}
	values := map[string]string{}
	for i, t := range template {
		if !strings.HasPrefix(t, "{") {
			if t != path[i] {
				return nil, false
			}
			continue
		}
		name, verb, _ := strings.Cut(t[1:], "}") // {id}:verb
		v, err := url.PathUnescape(path[i])
		if v, ok := strings.CutSuffix(v, verb); err == nil && ok && v != "" {
			values[name] = v
			continue
		}
		return nil, false
	}
	return values, true
}

// serve takes a request from its route to its handler.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	rt, path, upload := s.match(r)
	if rt == nil {
		writeNoSuchURL(w, r)
		return
	}
	c := &call{s: s, method: &rt.method, w: w, r: r, path: path, query: r.URL.Query(), upload: upload, now: s.now()}
	var ok bool
	if c.caller, ok = s.opts.Caller(r); !ok {
		c.refuse(errUnauthenticated())
		return
	}
	if !c.allows(rt.scopes...) {
		c.refuse(errScopes(&rt.method))
		return
	}
	leave, err := s.admit(c)
	if err != nil {
		c.refuse(err)
		return
	}
	defer leave()
	var last http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		inner := *c
		inner.w, inner.r = w, r
		inner.execute(rt.serve)
	})
	if s.opts.Spoil != nil && finishedUpload(r.Context()) == nil { // its pieces were spoiled
		last = s.opts.Spoil(last)
	}
	last.ServeHTTP(w, r)
}

// execute checks what all methods check and runs the handler.
func (c *call) execute(h handler) {
	if err := c.prepare(); err != nil {
		c.refuse(err)
		return
	}
	if h == nil {
		c.refuse(errNotPlayed(c.method))
		return
	}
	v, err := h(c)
	if err != nil {
		c.refuse(err)
		return
	}
	c.answer(v)
}

// prepare finds the mailbox that userId names and checks the query parameters.
// A mailbox is its owner's alone: there is no delegation.
func (c *call) prepare() error {
	user := c.path["userId"]
	delete(c.path, "userId")
	if user != "me" && !strings.EqualFold(user, c.caller.User.Address) {
		return errForbidden("Delegation denied for " + c.caller.User.Address)
	}
	if c.mb = c.s.mailbox(c.caller.User.ID); c.mb == nil {
		return errPrecondition("Mail service not enabled")
	}
	var err error
	if fields := c.query["fields"]; len(fields) > 0 && fields[0] != "" {
		if c.mask, err = parseMask(fields[0]); err != nil {
			return errFields(err)
		}
	}
	return c.checkQuery()
}

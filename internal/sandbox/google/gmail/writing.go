package gmail

import (
	"encoding/json"
	"maps"
	"net/http"
	"strings"
	"time"
)

// outgoing is what a mailbox has for sending: its drafts, the addresses it may
// send as, and who watches it. It is guarded by the mailbox's lock.
type outgoing struct {
	Drafts  map[string]string `json:"drafts,omitempty"` // draft id to message id
	Aliases []*sendAs         `json:"aliases,omitempty"`
	Watches map[string]*watch `json:"watches,omitempty"` // by developer project

	// Preferences are settings that have no effect, by their names.
	Preferences map[string]json.RawMessage `json:"preferences,omitempty"`

	notified time.Time // when a watch was last told of a change
}

// transport wraps what is no method around the methods: the batch endpoint and
// the pieces of resumable uploads.
func (s *Server) transport(next http.Handler) http.Handler {
	batch := s.serveBatch(next)
	var piece http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.servePiece(next, w, r) })
	if s.opts.Spoil != nil {
		piece = s.opts.Spoil(piece)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch p := r.URL.Path; {
		case p == "/batch" || p == "/batch/gmail/v1":
			batch.ServeHTTP(w, r)
		case (strings.HasPrefix(p, "/upload/") || strings.HasPrefix(p, "/resumable/")) && r.URL.Query().Has("upload_id"):
			piece.ServeHTTP(w, r)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// admit lets a request through the quota; leave ends its stay. The end of a
// resumable upload was paid for when it was begun.
func (s *Server) admit(c *call) (leave func(), err error) {
	if finishedUpload(c.r.Context()) != nil {
		return func() {}, nil
	}
	if err := s.set.Access.refuses(c.caller); err != nil {
		return nil, err
	}
	units := s.quota.cost(*c.method)
	leave, why := s.quota.enter(c.caller.Project, c.caller.User.ID, units, batchOf(c.r.Context()))
	if why != nil {
		s.count(func() { s.opts.Counters.Refusal(cloudName, c.caller.User.Address, why.limit) })
		return nil, s.quota.refuse(why, c.caller.Project)
	}
	s.count(func() {
		s.opts.Counters.Units(cloudName, c.caller.User.Address, strings.TrimPrefix(c.method.id, "gmail.users."), units)
	})
	return leave, nil
}

// cloudName is what the counters call this cloud.
const cloudName = "google"

// count counts, where somebody does.
func (s *Server) count(f func()) {
	if s.opts.Counters != nil {
		f()
	}
}

// Access is what an administrator or the console has switched off.
type Access struct {
	// NotConfigured are developer projects in which the API is not enabled.
	NotConfigured []string
	// Disabled are the addresses of users whose administrator has disabled
	// apps of others.
	Disabled []string
	// NoMail are the addresses of users without a mailbox, who have another
	// kind of account.
	NoMail []string
}

// writeHandlers are the methods of the writing half, by id.
func (s *Server) writeHandlers() map[string]handler {
	hs := preferences()
	maps.Copy(hs, map[string]handler{
		"gmail.users.watch":                  (*call).watch,
		"gmail.users.stop":                   (*call).stop,
		"gmail.users.messages.send":          (*call).send,
		"gmail.users.messages.insert":        (*call).insert,
		"gmail.users.messages.import":        (*call).importMessage,
		"gmail.users.drafts.list":            (*call).listDrafts,
		"gmail.users.drafts.get":             (*call).getDraft,
		"gmail.users.drafts.create":          (*call).createDraft,
		"gmail.users.drafts.update":          (*call).updateDraft,
		"gmail.users.drafts.send":            (*call).sendDraft,
		"gmail.users.drafts.delete":          (*call).deleteDraft,
		"gmail.users.settings.sendAs.list":   (*call).listAliases,
		"gmail.users.settings.sendAs.get":    (*call).getAlias,
		"gmail.users.settings.sendAs.create": (*call).createAlias,
		"gmail.users.settings.sendAs.update": (*call).updateAlias,
		"gmail.users.settings.sendAs.patch":  (*call).patchAlias,
		"gmail.users.settings.sendAs.delete": (*call).deleteAlias,
		"gmail.users.settings.sendAs.verify": (*call).verifyAlias,
	})
	return hs
}

package graph

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
	"github.com/postern-mail/postern/internal/sandbox/directory"
	"github.com/postern-mail/postern/internal/sandbox/mimetree"
)

// Options are what a Server is given from outside; the zero value works.
type Options struct {
	// Now is the clock; nil is the system's.
	Now func() time.Time
	// Sender takes mail that leaves a mailbox; nil loses it, with a line in the log.
	Sender cloud.Sender
	// Log is for what an operator of the sandbox should know; nil discards.
	Log *slog.Logger
	// BaseURL is scheme and host of the service, without /v1.0, as links in
	// answers show it; nil takes the request's.
	BaseURL func() string
}

// A Server holds the mailboxes of one cloud.
type Server struct {
	set     Settings
	opts    Options
	lag     atomic.Int64
	sealKey [32]byte
	zippers sync.Pool // of *gzip.Writer: each has most of a megabyte of tables

	people    directory.Directory[*mailbox]
	listeners directory.Listeners[cloud.Change]
}

// New makes a server without users.
func New(set Settings, opts Options) *Server {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{set: set, opts: opts}
	s.lag.Store(int64(set.DeltaLag))
	_, _ = rand.Read(s.sealKey[:]) // never fails since Go 1.24
	return s
}

// now has whole seconds where the service shows them; the log keeps the rest.
func (s *Server) now() time.Time { return s.opts.Now().UTC() }

// SetDeltaLag changes Settings.DeltaLag while the server runs.
func (s *Server) SetDeltaLag(d time.Duration) { s.lag.Store(int64(d)) }

// AddUser makes a mailbox. An empty ID is derived from the address.
func (s *Server) AddUser(u cloud.User) error {
	u.Address = strings.TrimSpace(u.Address)
	if u.ID == "" {
		sum := sha256.Sum256([]byte(strings.ToLower(u.Address)))
		u.ID = formatGUID(sum[:16])
	}
	if err := s.people.Add(u, newMailbox(u, &s.set, s.now())); err != nil {
		return fmt.Errorf("add user: %w", err)
	}
	return nil
}

// Users are all users, by address.
func (s *Server) Users() []cloud.User { return s.people.Users() }

// UserByAddress finds a user by address, in any case.
func (s *Server) UserByAddress(address string) (cloud.User, bool) { return s.people.ByAddress(address) }

// UserByID finds a user by object id.
func (s *Server) UserByID(id string) (cloud.User, bool) { return s.people.ByID(id) }

// OnChange adds a listener. It is called after the change is visible, never
// while a mailbox is locked, and must not block for long.
func (s *Server) OnChange(f func(cloud.Change)) { s.listeners.Add(f) }

// mailbox finds a mailbox by user id or address.
func (s *Server) mailbox(name string) *mailbox { return s.people.Mailbox(name) }

// locked runs f with the mailbox locked and passes its changes on afterwards.
func (s *Server) locked(mb *mailbox, f func() error) error {
	mb.mu.Lock()
	err := f()
	changes := mb.pending
	mb.pending = nil
	mb.mu.Unlock()
	s.listeners.Tell(changes)
	return err
}

// Deliver puts a message into the mailbox of address and returns its immutable
// id. A mailbox path that does not exist is made.
func (s *Server) Deliver(ctx context.Context, address string, d cloud.Delivery) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", fmt.Errorf("deliver: %w", err)
	}
	mb := s.mailbox(address)
	if mb == nil {
		return "", fmt.Errorf("deliver to %s: %w", address, directory.ErrNoMailbox)
	}
	c := parseContent(mimetree.Normalise(d.Raw))
	var id string
	err := s.locked(mb, func() error {
		now := s.now()
		f, err := mb.deliveryFolder(d.Mailbox, now)
		if err != nil {
			return fmt.Errorf("deliver to mailbox %q: %w", d.Mailbox, err)
		}
		if err := mb.room(int64(len(c.raw))); err != nil {
			return fmt.Errorf("deliver: %w", err)
		}
		received := d.Date
		if received.IsZero() {
			received = now
		}
		st := mb.receivedState(c, received, now)
		st.setKeywords(d.Keywords, now)
		m := &message{num: mb.nextNumber(), created: now, st: st}
		m.conv = mb.converse(c, m.num)
		mb.insert(m, f, false, now)
		mb.tell(cloud.Created, f, m, m.mid, now, !d.Notify)
		if s.set.NewMailUpdates {
			mb.tell(cloud.Updated, f, m, m.mid, now, !d.Notify)
		}
		id = mb.ids.immutable(m.num)
		return nil
	})
	return id, err
}

func (mb *mailbox) deliveryFolder(name string, now time.Time) (*folder, error) {
	if name == "" {
		return mb.wellKnown["inbox"], nil
	}
	if f, err := mb.lookupFolder(name); err == nil {
		return f, nil
	}
	if wellKnownNames[strings.ToLower(name)] {
		return nil, errFolderNotFound()
	}
	return mb.path(name, now), nil
}

// receivedState is the state of a message that came from outside.
func (mb *mailbox) receivedState(c *content, received, now time.Time) *state {
	sent := c.sent
	if sent.IsZero() {
		sent = received
	}
	return &state{
		importance: c.importance, inference: "focused", readReceipt: c.readReceipt, deliveryReceipt: c.dlvReceipt,
		flag: flag{status: "notFlagged"}, c: c, size: int64(len(c.raw)), change: mb.nextChange(),
		modified: now, received: received.UTC().Truncate(time.Second), sentAt: sent.UTC().Truncate(time.Second),
	}
}

// lastVerb is PidTagLastVerbExecuted (MS-OXOMSG 2.2.1.40), the only trace that
// an answer leaves on the message it answers.
const lastVerb = "Integer 0x1081"

func (st *state) setKeywords(keywords []string, now time.Time) {
	for _, k := range keywords {
		switch strings.ToLower(k) {
		case "$seen":
			st.read = true
		case "$flagged":
			st.flag.status = "flagged"
		case "$draft":
			st.draft = true
		case "$answered":
			st.setProp(lastVerb, "102")
		case "$forwarded":
			if st.props[lastVerb] == "" {
				st.setProp(lastVerb, "104")
			}
		default:
			if !slices.Contains(st.categories, k) {
				st.categories = append(st.categories, k)
			}
		}
	}
	st.modified = now
}

// dropKeywords takes keywords away. What has been answered or forwarded stays
// so, and a draft is one until it is sent.
func (st *state) dropKeywords(keywords []string) {
	for _, k := range keywords {
		switch strings.ToLower(k) {
		case "$seen":
			st.read = false
		case "$flagged":
			st.flag = flag{status: "notFlagged"}
		default:
			st.categories = slices.DeleteFunc(st.categories, func(c string) bool { return strings.EqualFold(c, k) })
		}
	}
}

func (st *state) keywords() []string {
	ks := []string{}
	if st.read {
		ks = append(ks, "$seen")
	}
	if st.flag.status == "flagged" {
		ks = append(ks, "$flagged")
	}
	switch st.props[lastVerb] {
	case "102", "103":
		ks = append(ks, "$answered")
	case "104":
		ks = append(ks, "$forwarded")
	}
	if st.draft {
		ks = append(ks, "$draft")
	}
	return append(ks, st.categories...)
}

// setProp replaces the map: states share it.
func (st *state) setProp(id, value string) {
	props := maps.Clone(st.props)
	if props == nil {
		props = map[string]string{}
	}
	props[id] = value
	st.props = props
}

// Messages are all messages of a mailbox that a client can see, oldest first.
func (s *Server) Messages(address string) ([]cloud.MessageInfo, error) {
	mb := s.mailbox(address)
	if mb == nil {
		return nil, fmt.Errorf("list messages of %s: %w", address, directory.ErrNoMailbox)
	}
	mb.mu.Lock()
	defer mb.mu.Unlock()
	infos := make([]cloud.MessageInfo, 0, len(mb.all))
	for _, m := range mb.all {
		infos = append(infos, cloud.MessageInfo{
			ID: mb.ids.immutable(m.num), Mailboxes: []string{mb.ids.folder(m.folder.num)},
			Keywords: m.st.keywords(), Size: int64(len(m.st.c.mime())), SHA256: m.st.c.sum(),
		})
	}
	return infos, nil
}

// Edit moves a message and changes its keywords, by either of its ids. A
// mailbox path that does not exist is made.
func (s *Server) Edit(address, id string, want cloud.Edit) error {
	mb := s.mailbox(address)
	if mb == nil {
		return fmt.Errorf("edit a message of %s: %w", address, directory.ErrNoMailbox)
	}
	return s.locked(mb, func() error {
		now := s.now()
		m, err := mb.lookup(id, now)
		if err != nil {
			return fmt.Errorf("edit: %w", err)
		}
		if want.Mailbox != "" {
			f, err := mb.deliveryFolder(want.Mailbox, now)
			if err != nil {
				return fmt.Errorf("move to mailbox %q: %w", want.Mailbox, err)
			}
			mb.moveMessage(m, f, now)
		}
		e := newEdit(m.st)
		e.st.categories = slices.Clone(e.st.categories)
		e.st.setKeywords(want.AddKeywords, now)
		e.st.dropKeywords(want.RemoveKeywords)
		before, after := m.st.keywords(), e.st.keywords()
		if !slices.Equal(before, after) {
			unread := func(k string) bool { return k == "$seen" }
			e.readOnly = slices.Equal(slices.DeleteFunc(before, unread), slices.DeleteFunc(after, unread))
			mb.commit(m, e, now)
		}
		return nil
	})
}

// Delete removes a message for good, by either of its ids.
func (s *Server) Delete(address, id string) error {
	mb := s.mailbox(address)
	if mb == nil {
		return fmt.Errorf("delete from %s: %w", address, directory.ErrNoMailbox)
	}
	return s.locked(mb, func() error {
		m, err := mb.lookup(id, s.now())
		if err != nil {
			return fmt.Errorf("delete: %w", err)
		}
		mb.purge(m, s.now())
		return nil
	})
}

// ForgetCursors makes every delta and next token issued so far answer 410.
func (s *Server) ForgetCursors(address string) error {
	mb := s.mailbox(address)
	if mb == nil {
		return fmt.Errorf("forget cursors of %s: %w", address, directory.ErrNoMailbox)
	}
	return s.locked(mb, func() error {
		mb.generation++
		clear(mb.rounds)
		return nil
	})
}

// FolderByRef finds the id of a folder by id or well-known name.
func (s *Server) FolderByRef(address, idOrWellKnown string) (string, bool) {
	mb := s.mailbox(address)
	if mb == nil {
		return "", false
	}
	mb.mu.Lock()
	defer mb.mu.Unlock()
	f, err := mb.lookupFolder(idOrWellKnown)
	if err != nil {
		return "", false
	}
	return mb.ids.folder(f.num), true
}

package gmail

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
	"github.com/postern-mail/postern/internal/sandbox/directory"
	"github.com/postern-mail/postern/internal/sandbox/traffic"
)

// A Caller is whose token a request carries.
type Caller struct {
	User     cloud.User
	ClientID string
	Project  string
	Scopes   []string
}

// Options are what a Server is given from outside; the zero value works, but
// knows no caller.
type Options struct {
	// Now is the clock; nil is the system's.
	Now func() time.Time
	// Log is for what an operator of the sandbox should know; nil discards.
	Log *slog.Logger
	// Sender takes mail that leaves a mailbox; nil loses it, with a line in the log.
	Sender cloud.Sender
	// Caller finds whose token a request carries; false answers 401.
	Caller func(*http.Request) (Caller, bool)
	// Spoil stands between the quota and the handler: the faults. nil is none.
	Spoil func(http.Handler) http.Handler
	// Counters count units and refusals; nil counts nothing.
	Counters *traffic.Counters
	// Item stands around each item of a batch: the counter. nil is none.
	Item func(http.Handler) http.Handler
	// Publish hands a notification to a Pub/Sub topic; nil knows no topic.
	Publish func(ctx context.Context, topic, publisher string, data []byte) error
}

// A Change is one record of a mailbox's history, as a watch sees it.
type Change struct {
	User      cloud.User
	HistoryID uint64
	MessageID string
	Labels    []string // that the message has or had around the change
	Time      time.Time
	Silent    bool // no notification is wanted
}

// A Server holds the mailboxes of one cloud. All methods may be called at once.
type Server struct {
	set     Settings
	opts    Options
	lag     atomic.Int64
	routes  []route
	handler http.Handler // what ServeHTTP runs; the writing half wraps the batch endpoint around it
	quota   *quota

	sessions sessions // resumable uploads
	key      [32]byte // seals the ids of attachments

	people    directory.Directory[*mailbox]
	listeners directory.Listeners[Change]
}

// New makes a server without users.
func New(set Settings, opts Options) *Server {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Caller == nil {
		opts.Caller = func(*http.Request) (Caller, bool) { return Caller{}, false }
	}
	set.fill()
	s := &Server{set: set, opts: opts}
	_, _ = rand.Read(s.key[:]) // never fails since Go 1.24
	s.lag.Store(int64(set.HistoryLag))
	s.quota = newQuota(set.Quota, s.now)
	s.routes = s.makeRoutes()
	s.listeners.Add(s.notify)
	s.handler = s.transport(http.HandlerFunc(s.serve))
	return s
}

// ServeHTTP serves /gmail/v1, the two upload roots and the batch endpoint.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

func (s *Server) now() time.Time { return s.opts.Now().UTC() }

// SetDeltaLag changes Settings.HistoryLag while the server runs.
func (s *Server) SetDeltaLag(d time.Duration) { s.lag.Store(int64(d)) }

// AddUser makes a mailbox. An empty ID is derived from the address: 21 decimal
// digits, as the subject of Google's tokens has.
func (s *Server) AddUser(u cloud.User) error {
	u.Address = strings.TrimSpace(u.Address)
	if u.ID == "" {
		sum := sha256.Sum256([]byte(strings.ToLower(u.Address)))
		u.ID = "10" + strconv.FormatUint(binary.BigEndian.Uint64(sum[:])%1e18+1e18, 10)
	}
	if err := s.people.Add(u, newMailbox(u, &s.set)); err != nil {
		return fmt.Errorf("add user: %w", err)
	}
	return nil
}

// Users are all users, by address.
func (s *Server) Users() []cloud.User { return s.people.Users() }

// UserByAddress finds a user by address, in any case.
func (s *Server) UserByAddress(address string) (cloud.User, bool) { return s.people.ByAddress(address) }

// UserByID finds a user by the subject of its tokens.
func (s *Server) UserByID(id string) (cloud.User, bool) { return s.people.ByID(id) }

// OnChange adds a listener. It is called once for each history record, after
// the record is visible, never while a mailbox is locked, and must not block
// for long.
func (s *Server) OnChange(f func(Change)) { s.listeners.Add(f) }

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

// Package session is one mail program's conversation with one account: what
// it has selected, which messages it was told of under which numbers, and the
// commands that it gives. It knows the protocol's meaning but neither sockets
// nor the library that serves the rest of the protocol.
//
// What is kept true. A client's sequence numbers are the places in a sorted
// list of the UIDs that it was told of (view.go); only what is written to the
// client changes that list, so numbers never mean two things. Commands address
// messages by UID from there on. An OK to a change is said after the provider
// confirmed it; whatever fails for one message leaves it where it was, and the
// answer is NO with what went through told. UIDs and \Deleted are ours, and
// come from the mirror.
//
// How it fails. Errors are *mail.Error; errors.go says what each kind is to a
// mail program. An *Over ends the session: its mailbox is gone, or cannot be
// read. What a client knows of it is never unsaid message by message.
//
// Where to start: Server, Session, then Command (command.go) and view.go.
//
// A Session serves one connection, whose commands come one after the other: it
// is not for use by several goroutines. A Server is.
package session

import (
	"context"
	"log/slog"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/postern-mail/postern/bridge/imapd/box"
	"github.com/postern-mail/postern/internal/access"
	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/internal/mailbox"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

// Authenticator checks what a mail program presents.
type Authenticator interface {
	Login(ctx context.Context, l access.Login) (*access.Principal, error)
}

// SentMatcher finds what this gateway has sent.
type SentMatcher interface {
	// Sent tells of a message for the mailbox with the role sent whether it was
	// submitted here, by its Message-ID (without angle brackets) and size, and
	// gives the provider's own copy there. It waits, as long as is reasonable, for
	// one that is on its way; nil with ok says that it will come.
	Sent(ctx context.Context, account, mailbox, messageID string, size int64) (m *store.Message, ok bool, err error)
	// Appended tells of one that was not, and was stored: it may be submitted in a
	// moment.
	Appended(account, messageID, message string, size int64)
}

// ExpungeTo is what EXPUNGE does outside the trash.
type ExpungeTo string

// What EXPUNGE can do: the zero value moves to the trash.
const (
	ExpungeToTrash ExpungeTo = "trash"
	ExpungeDeletes ExpungeTo = "delete"
)

// Options of a Server. Store, Mirror, Bus and Auth are needed.
type Options struct {
	Store       store.Store
	Mirror      *mailbox.Service
	Bus         *event.Bus
	Auth        Authenticator
	Submissions SentMatcher // nil matches nothing
	Text        TextSearcher
	ExpungeTo   ExpungeTo
	Log         *slog.Logger
	Now         func() time.Time
	Registerer  prometheus.Registerer // nil keeps the metrics unregistered
	// AppendLimit is the size of the largest message that APPEND takes, 0 for
	// 150 MiB.
	AppendLimit int64
	// KeepBox is how long a mailbox's index stays when the last session has left
	// it, 5 min by default.
	KeepBox time.Duration
}

// Server is what all sessions share.
type Server struct {
	opts  Options
	log   *slog.Logger
	boxes *box.Set
}

// New makes a Server. Close it once its sessions are closed.
func New(opts Options) (*Server, error) {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.ExpungeTo == "" {
		opts.ExpungeTo = ExpungeToTrash
	}
	if opts.AppendLimit == 0 {
		opts.AppendLimit = 150 << 20
	}
	s := &Server{opts: opts, log: opts.Log,
		boxes: box.NewSet(box.Options{Store: opts.Store, Bus: opts.Bus, Log: opts.Log, Keep: opts.KeepBox})}
	return s, s.register(opts.Registerer)
}

// Close ends what follows the journal for the sessions.
func (s *Server) Close() { s.boxes.Close() }

// AppendLimit is the size of the largest message that APPEND takes.
func (s *Server) AppendLimit() int64 { return s.opts.AppendLimit }

// ConnInfo is what is known of a connection.
type ConnInfo struct {
	Remote netip.Addr
	// TLS: nobody else can read it.
	TLS bool
	// Stopping is closed when the server waits no longer for what it was asked to
	// do; nil never is.
	Stopping <-chan struct{}
}

// Updates takes the untagged responses that a command did not ask for.
type Updates interface {
	Exists(n uint32)
	Expunge(seq uint32)
	// Fetch tells of a message's flags, with its UID (RFC 9051, 7.5.2).
	Fetch(seq, uid uint32, flags []string, modSeq uint64)
	// Flags lists all flags of the mailbox, since there is a new one.
	Flags(all []string)
	// Flush sends what was told; its error ends the session.
	Flush() error
}

// Session is one connection's state.
type Session struct {
	server *Server
	info   ConnInfo
	out    Updates
	client map[string]string // of ID

	account   string
	principal *access.Principal
	sel       *selected
	// saved are the UIDs of SEARCH RETURN (SAVE), sorted (RFC 9051, 6.4.4.1).
	saved []uint32
}

// Session makes the state of a new connection.
func (s *Server) Session(info ConnInfo, out Updates) *Session {
	return &Session{server: s, info: info, out: out}
}

// SetClientID notes what the client says of itself (RFC 2971).
func (s *Session) SetClientID(id map[string]string) { s.client = id }

// Principal is who has logged in, nil before.
func (s *Session) Principal() *access.Principal { return s.principal }

// Account is the account's id, empty before login.
func (s *Session) Account() string { return s.account }

// Selecting reports whether a mailbox is selected.
func (s *Session) Selecting() bool { return s.sel != nil }

// Login lets a client in. Mechanism is LOGIN for the command, the mechanism's
// name for AUTHENTICATE.
func (s *Session) Login(ctx context.Context, mechanism, user, secret string) error {
	p, err := s.server.opts.Auth.Login(ctx, access.Login{
		User: user, Secret: secret, Mechanism: mechanism,
		Bearer: mechanism == "OAUTHBEARER" || mechanism == "XOAUTH2",
		Need:   []access.Scope{access.ScopeIMAP, access.ScopeIMAPRead},
		Remote: s.info.Remote, Client: s.client["name"],
	})
	if err != nil {
		return worded{err}
	}
	s.account, s.principal = p.Account, p
	return nil
}

// Close ends the session.
func (s *Session) Close() { s.leave() }

// mayWrite answers why the client may not change anything, nil where it may.
func (s *Session) mayWrite() error {
	if s.principal == nil || s.principal.ReadOnly {
		return mail.Errorf(mail.KindForbidden, "change mail", "This password may read and not change anything")
	}
	return nil
}

// Selected is what SELECT and EXAMINE answer.
type Selected struct {
	List           ListEntry
	Flags          []string
	PermanentFlags []string
	Exists         uint32
	// FirstUnseen is a sequence number, 0 where all are seen (IMAP4rev1 only).
	FirstUnseen   uint32
	UIDNext       uint32
	UIDValidity   uint32
	HighestModSeq uint64
	ReadOnly      bool
}

// ListRequest is a LIST command (RFC 9051, 6.3.9; RFC 6154).
type ListRequest struct {
	// LSUB: the command was LSUB, whose rules differ a little (RFC 3501, 6.3.9).
	LSUB      bool
	Reference string
	Patterns  []string

	SelectSubscribed     bool
	SelectRemote         bool
	SelectRecursiveMatch bool
	SelectSpecialUse     bool

	ReturnSubscribed bool
	ReturnChildren   bool
	ReturnSpecialUse bool
	ReturnStatus     *StatusItems
}

// ListEntry is a LIST response.
type ListEntry struct {
	Attrs []string
	// Name is the whole name; Delimiter is 0 where there is no hierarchy.
	Name      string
	Delimiter rune
	// ChildInfo: with RECURSIVEMATCH, one below it is what the selection options ask
	// for (RFC 9051, 6.3.9.6, CHILDINFO).
	ChildInfo bool
	// Status is set where it was asked for and can be told.
	Status *StatusData
}

// StatusItems are what STATUS asks for.
type StatusItems struct {
	Messages, UIDNext, UIDValidity, Unseen, Deleted, Size, Recent, HighestModSeq bool
	// AppendLimit is answered by the server itself.
	AppendLimit bool
}

// StatusData is what STATUS answers; what was not asked for may be 0.
type StatusData struct {
	Mailbox                   string
	Messages, Unseen, Deleted uint32
	UIDNext, UIDValidity      uint32
	Size                      int64
	HighestModSeq             uint64
}

// AppendRequest is an APPEND command; the message itself comes as a reader.
type AppendRequest struct {
	Flags []string
	// Date is zero where the client gave none.
	Date time.Time
	// Size is the length of the literal.
	Size int64
}

// AppendData is APPENDUID's. UID is 0 where it is not known.
type AppendData struct {
	UIDValidity, UID uint32
}

// Namespaces are the prefixes of the personal namespace, which is all there
// is (RFC 2342).
type Namespaces struct {
	Prefix    string
	Delimiter rune
}

// Namespace answers NAMESPACE.
func (s *Session) Namespace() Namespaces { return Namespaces{"", Delimiter} }

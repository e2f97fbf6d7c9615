package memory

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// Options shape a cloud and its provider. The zero value is the flavour of
// folders: a message is in one folder, each folder has a change feed of its
// own, and a feed from an empty cursor tells everything.
type Options struct {
	// Name is Info.Name, "memory" by default.
	Name string
	// Kind of the mailboxes, folders by default. Labels make the other
	// flavour: a message carries any number of labels, one feed covers the
	// account, and it tells only what happens after its first cursor.
	Kind mail.MailboxKind
	// Scope overrides what the kind implies.
	Scope mail.Scope
	// Keywords that the cloud can hold: by default $seen, $flagged, $draft and
	// free ones.
	Keywords []string
	// Without takes capabilities away.
	Without []provider.Capability
	// PageSize is how many messages one batch carries, 50 by default.
	PageSize int
	// MaxMessageBytes limits what is appended and sent, 36 MiB by default.
	MaxMessageBytes int64
	// Now is the clock, time.Now by default.
	Now func() time.Time
}

// Cloud is the pretended mail system: accounts with their mailboxes, messages
// and change logs. Its exported methods are what the outside world can do.
type Cloud struct {
	opts Options

	mu       sync.Mutex
	accounts map[string]*account
	tokens   map[string]string // valid access token -> address
	grants   map[string]string // valid refresh secret -> address
	codes    map[string]string // unused authorisation code -> address
	numbers  int               // the last number that newID gave
	asked    int               // token requests
	failures map[string][]mail.Kind
	hook     func(ctx context.Context, verb, address string) error
	sent     []Sent
	notifier func(*provider.NotifyRequest) *provider.NotifyResponse
	feeds    map[*feed]bool
	owed     []notice
	// finds are what Check finds beside what it always does.
	finds []provider.CheckResult
	// unapproved: owners may not consent before an administrator has.
	unapproved bool
	// partial: there may be more identities than are told.
	partial bool
	// grantsEnd is when new grants end, and why.
	grantsEnd    time.Time
	grantsEndWhy string
}

// account is one address. The mailboxes keep the order of their making.
type account struct {
	address, name string
	mailboxes     []*mail.Mailbox
	messages      map[string]*message
	operations    map[string][]string // operation id -> what it made
	sentOps       map[string]string   // operation id -> id of the message sent
	log           []entry
	seq           uint64
	epoch         int
	watches       map[string]*watch
	identities    []mail.Identity // beside its own address
}

// message is one message at rest.
type message struct {
	id        string
	mailboxes map[string]bool
	keywords  map[string]bool
	raw       []byte
	sha       string
	received  time.Time
	version   uint64
	sent      bool
	parsed    mail.Message
	words     []byte // what Search looks through, in lower case
}

func newCloud(opts Options) *Cloud {
	if opts.Name == "" {
		opts.Name = "memory"
	}
	if opts.Kind == "" {
		opts.Kind = mail.KindFolder
	}
	if opts.Scope == "" {
		opts.Scope = mail.ScopeMailbox
		if opts.Kind == mail.KindLabel {
			opts.Scope = mail.ScopeAccount
		}
	}
	if opts.Keywords == nil {
		opts.Keywords = []string{mail.Seen, mail.Flagged, mail.Draft, "*"}
	}
	if opts.PageSize <= 0 {
		opts.PageSize = 50
	}
	if opts.MaxMessageBytes <= 0 {
		opts.MaxMessageBytes = 36 << 20
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	return &Cloud{
		opts:     opts,
		accounts: map[string]*account{},
		tokens:   map[string]string{},
		grants:   map[string]string{},
		codes:    map[string]string{},
		failures: map[string][]mail.Kind{},
		feeds:    map[*feed]bool{},
	}
}

// newID gives ids in the order of asking, so that a test's output repeats.
// The caller holds mu.
func (c *Cloud) newID(kind string) string {
	c.numbers++
	return fmt.Sprintf("%s-%d", kind, c.numbers)
}

func (c *Cloud) now() time.Time { return c.opts.Now().UTC().Truncate(time.Second) }

// key makes addresses comparable.
func key(address string) string { return strings.ToLower(strings.TrimSpace(address)) }

// find gives an account by address. The caller holds mu.
func (c *Cloud) find(address string) (*account, error) {
	a := c.accounts[key(address)]
	if a == nil {
		return nil, mail.Errorf(mail.KindNotFound, "find account", "no account %s", address)
	}
	return a, nil
}

// mailbox gives a mailbox by id.
func (a *account) mailbox(id string) *mail.Mailbox {
	for _, m := range a.mailboxes {
		if m.ID == id {
			return m
		}
	}
	return nil
}

// locate finds a mailbox as a person would name it: id, role or name; the
// inbox for the empty string.
func (a *account) locate(name string) (*mail.Mailbox, error) {
	if name == "" {
		name = string(mail.RoleInbox)
	}
	if m := a.mailbox(name); m != nil {
		return m, nil
	}
	for _, m := range a.mailboxes {
		if string(m.Role) == name || strings.EqualFold(m.Name, name) {
			return m, nil
		}
	}
	return nil, mail.Errorf(mail.KindNotFound, "find mailbox", "no mailbox %q", name)
}

// put stores a new message and tells the log. The caller holds mu.
func (c *Cloud) put(a *account, mailbox string, raw []byte, received time.Time, keywords []string) *message {
	if received.IsZero() {
		received = c.now()
	}
	sum := sha256.Sum256(raw)
	m := &message{
		id:        c.newID("msg"),
		mailboxes: map[string]bool{mailbox: true},
		keywords:  map[string]bool{},
		raw:       slices.Clone(raw),
		sha:       hex.EncodeToString(sum[:]),
		received:  received.UTC().Truncate(time.Second),
	}
	m.parsed, m.words = parse(raw)
	for _, k := range keywords {
		m.keywords[strings.ToLower(k)] = true
	}
	a.messages[m.id] = m
	c.touched(a, m, mailbox)
	return m
}

// describe gives the metadata of a message.
func (m *message) describe() mail.Message {
	out := m.parsed
	out.ProviderID = m.id
	out.Mailboxes = slices.Sorted(maps.Keys(m.mailboxes))
	out.Keywords = slices.Sorted(maps.Keys(m.keywords))
	out.ReceivedAt = m.received
	out.Size = int64(len(m.raw))
	out.Version = m.version
	out.ContentTag = m.sha[:16]
	return out
}

// newestFirst lists the messages of a mailbox, or of the account for "".
func (a *account) newestFirst(mailbox string) []*message {
	var out []*message
	for _, m := range a.messages {
		if mailbox == "" || m.mailboxes[mailbox] {
			out = append(out, m)
		}
	}
	slices.SortFunc(out, func(x, y *message) int {
		if c := y.received.Compare(x.received); c != 0 {
			return c
		}
		return strings.Compare(y.id, x.id)
	})
	return out
}

package sandbox

import (
	"crypto/rsa"
	"crypto/x509"
	"log/slog"
	"strings"
	"time"

	"github.com/postern-mail/postern/internal/sandbox/google"
	"github.com/postern-mail/postern/internal/sandbox/microsoft"
)

// Addresses that the program listens on by default.
const (
	DefaultMicrosoft = "127.0.0.1:8090"
	DefaultGoogle    = "127.0.0.1:8091"
	DefaultControl   = "127.0.0.1:8092"
	DefaultSMTP      = "127.0.0.1:8025"
)

// Options describe a sandbox. The zero value listens on free ports of
// loopback, has three users with generated mail, and keeps everything in memory.
type Options struct {
	// Addresses to listen on; empty is 127.0.0.1 with a free port.
	Microsoft string
	Google    string
	Control   string
	SMTP      string
	// Ports says what becomes of an address that is taken.
	Ports Ports

	// Users to begin with; nil is DefaultUsers. An empty list has none.
	Users []User
	// NoSeed leaves the mailboxes of the first users empty.
	NoSeed bool
	// Seed of everything random.
	Seed uint64
	// Mail is a folder of .eml, mbox and one-message files; it becomes the
	// first user's inbox, in place of the generated mail there.
	Mail string

	// StateDir keeps the world from one run to the next; empty: memory only.
	StateDir string
	// CAFile is where the certificate authority is written; empty: into
	// StateDir, or else nowhere (State().CA has it all the same).
	CAFile string
	// NotifyCAFile is trusted for notification URLs beside the system's roots.
	NotifyCAFile string
	// NotifyRoots, when set, is used for that instead of any file.
	NotifyRoots *x509.CertPool
	// AllowHTTPNotifications takes notification URLs without https.
	AllowHTTPNotifications bool
	// RewriteMessageIDs gives a recipient's copy a Message-ID of its own, as
	// some services do; the sender's stays in X-Original-Message-ID. Off, it is
	// kept.
	RewriteMessageIDs bool

	// Settings are the knobs of the Microsoft cloud, GoogleSettings of the
	// Google one.
	Settings       microsoft.Settings
	GoogleSettings google.Settings

	// Key signs the tokens of a new world; nil makes one, which takes a moment
	// that many worlds in one process can save.
	Key *rsa.PrivateKey

	Now func() time.Time
	Log *slog.Logger
}

// Ports says which ports to listen on.
type Ports string

// Choices of ports.
const (
	PortsGiven Ports = "given" // those of the addresses, or fail; "" means the same
	PortsSpare Ports = "spare" // a free one in place of one that is taken
	PortsFree  Ports = "free"  // free ones, whatever the addresses say
)

// A User is someone who exists from the start.
type User struct {
	Cloud   string `json:"cloud"` // "" goes by the address, see CloudOf
	Address string `json:"address"`
	Name    string `json:"name"`
	// Gmail, set to false, makes a Google account without a mailbox.
	Gmail *bool `json:"gmail,omitempty"`
}

// DefaultUsers are the three that exist unless told otherwise.
func DefaultUsers() []User {
	return []User{
		{Cloud: microsoft.Name, Address: "ada@contoso.example", Name: "Ada Lovelace"},
		{Cloud: microsoft.Name, Address: "grace@contoso.example", Name: "Grace Hopper"},
		{Cloud: google.Name, Address: "alan@gmail.example", Name: "Alan Turing"},
	}
}

// CloudOf is where an address of which nothing else is known has its mailbox:
// with Google for the domains gmail.* and googlemail.*, else with Microsoft.
func CloudOf(address string) string {
	_, domain, _ := strings.Cut(strings.ToLower(address), "@")
	if strings.HasPrefix(domain, "gmail.") || strings.HasPrefix(domain, "googlemail.") {
		return google.Name
	}
	return microsoft.Name
}

func (o Options) withDefaults() Options {
	for _, a := range []*string{&o.Microsoft, &o.Google, &o.Control, &o.SMTP} {
		if *a == "" {
			*a = "127.0.0.1:0"
		}
	}
	if o.Users == nil {
		o.Users = DefaultUsers()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.AllowHTTPNotifications {
		o.Settings.Push.AllowHTTP = true
		o.GoogleSettings.PubSub.AllowHTTP = true
	}
	return o
}

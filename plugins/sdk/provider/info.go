package provider

import "github.com/postern-mail/postern/plugins/sdk/mail"

// Capability names a verb or behaviour that not every provider has.
type Capability string

// Capabilities.
const (
	CapMailboxes  Capability = "mailboxes"   // Create, Rename, DeleteMailbox
	CapModify     Capability = "modify"      // Modify
	CapAppend     Capability = "append"      // Append
	CapCopy       Capability = "copy"        // Copy
	CapDelete     Capability = "delete"      // Delete
	CapPurge      Capability = "purge"       // Purge
	CapSend       Capability = "send"        // Prepare, Send, Probe
	CapSearch     Capability = "search"      // Search
	CapWatch      Capability = "watch"       // Watch, Unwatch, Notify
	CapListen     Capability = "listen"      // Listen
	CapConnect    Capability = "connect"     // BeginConnect, FinishConnect
	CapRevoke     Capability = "revoke"      // Revoke has an effect at the provider
	CapExactBytes Capability = "exact_bytes" // raw bytes come back as they were stored
	CapIdentities Capability = "identities"  // Identities
)

// SignIn is the kind of sign-in that an owner goes through.
type SignIn string

// Kinds of sign-in.
const (
	SignInOAuth SignIn = "oauth"
	SignInNone  SignIn = "none" // the settings alone give access
)

// Info is what a plugin says of itself.
type Info struct {
	// Name is the plugin's own name, as in postern-provider-NAME.
	Name string
	// Title is for people.
	Title   string
	Version string
	SignIn  SignIn
	// Settings are the keys that Configure understands.
	Settings     []Setting
	Capabilities []Capability
	// Keywords that the provider can hold; "*" stands for free ones. The core
	// keeps the others itself. Where one takes another's place, the results of
	// Modify say so. They may be a matter of the settings: Describe is called
	// again after Configure.
	Keywords []string
	// Scope is what a change cursor covers.
	Scope mail.Scope
	// FeedEnumerates: Changes from an empty cursor tells everything there is,
	// with full metadata, newest first.
	FeedEnumerates bool
	Limits         Limits
}

// Has reports whether the provider has the capability.
func (i *Info) Has(c Capability) bool {
	for _, have := range i.Capabilities {
		if have == c {
			return true
		}
	}
	return false
}

// HoldsKeyword reports whether the provider can hold the keyword.
func (i *Info) HoldsKeyword(k string) bool {
	free := len(k) > 0 && k[0] != '$'
	for _, have := range i.Keywords {
		if have == k || (have == "*" && free) {
			return true
		}
	}
	return false
}

// Limits of a provider. 0 means none is known.
type Limits struct {
	// MaxMessageBytes is the largest message that can be sent or appended, in
	// octets of raw MIME.
	MaxMessageBytes int64
	// ModifyBatch and FetchBatch are how many messages one call serves well.
	ModifyBatch int
	FetchBatch  int
}

// Setting documents one key of an instance's configuration. Values are
// strings; lists are separated by commas.
type Setting struct {
	Name     string
	Doc      string
	Default  string
	Required bool
	// Secret values are never shown or logged.
	Secret bool
	// File values name a file that the plugin reads.
	File bool
}

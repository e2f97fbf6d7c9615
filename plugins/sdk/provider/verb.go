package provider

import (
	"strings"

	"github.com/postern-mail/postern/plugins/sdk/mail"
)

// Verb names a method of Provider, in metrics, logs and errors.
type Verb string

// Verbs.
const (
	VerbDescribe      Verb = "describe"
	VerbConfigure     Verb = "configure"
	VerbCheck         Verb = "check"
	VerbSession       Verb = "session"
	VerbOpen          Verb = "open"
	VerbClose         Verb = "close"
	VerbBeginConnect  Verb = "begin_connect"
	VerbFinishConnect Verb = "finish_connect"
	VerbRevoke        Verb = "revoke"
	VerbMailboxes     Verb = "mailboxes"
	VerbCreateMailbox Verb = "create_mailbox"
	VerbRenameMailbox Verb = "rename_mailbox"
	VerbDeleteMailbox Verb = "delete_mailbox"
	VerbEnumerate     Verb = "enumerate"
	VerbChanges       Verb = "changes"
	VerbFetch         Verb = "fetch"
	VerbModify        Verb = "modify"
	VerbAppend        Verb = "append"
	VerbCopy          Verb = "copy"
	VerbDelete        Verb = "delete"
	VerbPurge         Verb = "purge"
	VerbPrepare       Verb = "prepare"
	VerbSend          Verb = "send"
	VerbProbe         Verb = "probe"
	VerbIdentities    Verb = "identities"
	VerbSearch        Verb = "search"
	VerbWatch         Verb = "watch"
	VerbUnwatch       Verb = "unwatch"
	VerbNotify        Verb = "notify"
	VerbListen        Verb = "listen"
)

// Idempotent reports whether the host may repeat the verb after
// mail.KindUnavailable. It is the docs of Provider as data.
func (v Verb) Idempotent() bool {
	switch v {
	case VerbSession, VerbFinishConnect, VerbCreateMailbox, VerbAppend, VerbCopy, VerbSend:
		return false
	}
	return true
}

// Words gives the verb as it stands in mail.Error.Op.
func (v Verb) Words() string { return strings.ReplaceAll(string(v), "_", " ") }

// lost is the kind of a call whose answer never came.
func (v Verb) lost() mail.Kind {
	if v.Idempotent() {
		return mail.KindUnavailable
	}
	return mail.KindOutcomeUnknown
}

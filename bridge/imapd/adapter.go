package imapd

import (
	"errors"
	"fmt"
	"log/slog"
	"net"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"

	"github.com/postern-mail/postern/bridge/imapd/session"
)

// newLibrary makes the library's server. It sees clients that have logged in
// alone, over connections of ours; TLS and passwords are none of its business.
func newLibrary(s *Server) *imapserver.Server {
	return imapserver.New(&imapserver.Options{
		NewSession: func(lc *imapserver.Conn) (imapserver.Session, *imapserver.GreetingData, error) {
			f, ok := lc.NetConn().(*frame)
			if !ok {
				return nil, nil, errors.New("not a connection of ours")
			}
			return &adapter{f: f, c: f.c}, &imapserver.GreetingData{PreAuth: true}, nil
		},
		// What the library answers to ENABLE, NAMESPACE and the like depends on
		// these; what the client reads as capabilities is ours (caps.go).
		Caps: imap.CapSet{imap.CapIMAP4rev1: {}, imap.CapIMAP4rev2: {}, imap.CapNamespace: {}, imap.CapMove: {},
			imap.CapListExtended: {}, imap.CapListStatus: {}, imap.CapSpecialUse: {}, imap.CapChildren: {}},
		InsecureAuth: true,
		Logger:       libraryLog{s.opt.Log},
	})
}

// libraryLog takes what the library logs: panics, and errors that we did not
// make an answer of.
type libraryLog struct{ log *slog.Logger }

func (l libraryLog) Printf(format string, args ...any) {
	l.log.Error("imap library reports", "message", fmt.Sprintf(format, args...))
}

// adapter is our session as the library sees it. Nothing of its interface is
// reached that frame keeps from it.
type adapter struct {
	f       *frame
	c       *conn
	closing bool // CLOSE asked to expunge
}

var _ imapserver.SessionIMAP4rev2 = (*adapter)(nil)

var errPast = &imap.Error{Type: imap.StatusResponseTypeBad, Text: "Unknown command"}

// answer makes the library's error of ours, whose words are one line of ASCII.
func answer(err error) error {
	if err == nil {
		return nil
	}
	t := session.Answer(err)
	return &imap.Error{Type: imap.StatusResponseType(t.Status), Code: imap.ResponseCode(t.Code), Text: t.Text}
}

// Close does nothing: conn.serve closes the session.
func (a *adapter) Close() error { return nil }

func (a *adapter) Select(mailbox string, o *imap.SelectOptions) (*imap.SelectData, error) {
	sel, err := a.c.sess.Select(a.c.ctx, mailbox, o.ReadOnly)
	if err != nil {
		return nil, answer(err)
	}
	a.f.readOnly = sel.ReadOnly
	d := &imap.SelectData{Flags: flags(sel.Flags), PermanentFlags: flags(sel.PermanentFlags),
		NumMessages: sel.Exists, FirstUnseenSeqNum: sel.FirstUnseen,
		UIDNext: imap.UID(sel.UIDNext), UIDValidity: sel.UIDValidity}
	if a.c.rev2 { // RFC 9051, section 6.3.2: LIST is part of the answer
		a.c.writeList("LIST", sel.List, &session.ListRequest{})
	}
	return d, nil
}

func flags(names []string) []imap.Flag {
	out := make([]imap.Flag, len(names))
	for i, n := range names {
		out[i] = imap.Flag(n)
	}
	return out
}

func (a *adapter) Unselect() error {
	if a.closing {
		a.closing = false
		return answer(a.c.sess.CloseMailbox(a.c.ctx))
	}
	a.c.sess.Unselect()
	return nil
}

// Expunge is CLOSE alone: EXPUNGE does not get here.
func (a *adapter) Expunge(*imapserver.ExpungeWriter, *imap.UIDSet) error {
	a.closing = true
	return nil
}

func (a *adapter) Create(mailbox string, _ *imap.CreateOptions) error {
	return answer(a.c.sess.Create(a.c.ctx, mailbox))
}

func (a *adapter) Delete(mailbox string) error { return answer(a.c.sess.Delete(a.c.ctx, mailbox)) }

func (a *adapter) Rename(mailbox, to string, _ *imap.RenameOptions) error {
	return answer(a.c.sess.Rename(a.c.ctx, mailbox, to))
}

func (a *adapter) Subscribe(mailbox string) error {
	return answer(a.c.sess.Subscribe(a.c.ctx, mailbox))
}

func (a *adapter) Unsubscribe(mailbox string) error {
	return answer(a.c.sess.Unsubscribe(a.c.ctx, mailbox))
}

func (a *adapter) Namespace() (*imap.NamespaceData, error) {
	n := a.c.sess.Namespace()
	return &imap.NamespaceData{Personal: []imap.NamespaceDescriptor{{Prefix: n.Prefix, Delim: n.Delimiter}}}, nil
}

// Poll writes past the library's writer, into the same buffer. Its error ends
// the session; net.ErrClosed is one that the library takes without a word.
func (a *adapter) Poll(_ *imapserver.UpdateWriter, expunge bool) error {
	if err := a.c.sess.Poll(a.c.ctx, expunge); err != nil {
		a.c.farewell(err)
		return net.ErrClosed
	}
	return nil
}

// What follows goes past the library.

func (a *adapter) List(*imapserver.ListWriter, string, []string, *imap.ListOptions) error {
	return errPast
}

func (a *adapter) Status(string, *imap.StatusOptions) (*imap.StatusData, error) { return nil, errPast }

func (a *adapter) Login(string, string) error { return errPast }

func (a *adapter) Append(string, imap.LiteralReader, *imap.AppendOptions) (*imap.AppendData, error) {
	return nil, errPast
}

func (a *adapter) Idle(*imapserver.UpdateWriter, <-chan struct{}) error { return errPast }

func (a *adapter) Search(imapserver.NumKind, *imap.SearchCriteria, *imap.SearchOptions) (*imap.SearchData, error) {
	return nil, errPast
}

func (a *adapter) Fetch(*imapserver.FetchWriter, imap.NumSet, *imap.FetchOptions) error {
	return errPast
}

func (a *adapter) Store(*imapserver.FetchWriter, imap.NumSet, *imap.StoreFlags, *imap.StoreOptions) error {
	return errPast
}

func (a *adapter) Copy(imap.NumSet, string) (*imap.CopyData, error) { return nil, errPast }

func (a *adapter) Move(*imapserver.MoveWriter, imap.NumSet, string) error { return errPast }

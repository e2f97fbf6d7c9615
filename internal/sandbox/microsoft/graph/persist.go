package graph

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
	"github.com/postern-mail/postern/internal/sandbox/mimetree"
)

// On disk a mailbox is one compressed JSON file, named after the user's id.
// Ids survive; the logs do not: after Load every sync token of before answers
// 410, which the service may do at any time.

type savedMailbox struct {
	User       cloud.User
	Counter    uint64
	Change     uint64
	Generation int
	Folders    []savedFolder
	Messages   []savedMessage
	Categories []category
	Settings   mailboxSettings
}

type savedFolder struct {
	Num, Parent uint64
	Name        string
	WellKnown   string
	Hidden      bool
	Created     time.Time
}

type savedMessage struct {
	Num, Folder, MID         uint64
	Created                  time.Time
	Conv                     [16]byte
	ReplyTo                  uint64
	ReplyVerb                string
	Raw                      []byte
	Made                     *savedContent // nil when Raw is the truth
	Read, Draft, Outgoing    bool
	FlagStatus               string
	Due, Start, Done         *dateTimeZone
	Categories               []string
	Importance               string
	Inference                string
	ReadReceipt, DlvReceipt  bool
	Props                    map[string]string
	Size                     int64
	Change                   uint64
	Modified, Received, Sent time.Time
}

type savedContent struct {
	Subject, MessageID, InReplyTo, Topic, Body string
	From, Sender                               *mimetree.Recipient
	To, CC, BCC, ReplyTo                       []mimetree.Recipient
	References                                 []string
	Index                                      []byte
	Custom                                     [][2]string
	HTML                                       bool
	Sent                                       time.Time
	Attachments                                []savedAttachment
}

type savedAttachment struct {
	Key                       []byte
	Item, Inline              bool
	Name, Type, CID, Location string
	Modified                  time.Time
	Data                      []byte
}

// Save writes every mailbox into dir, one file each, renamed into place.
func (s *Server) Save(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("save mailboxes: %w", err)
	}
	for _, u := range s.Users() {
		mb := s.mailbox(u.ID)
		mb.mu.Lock()
		saved := mb.save()
		mb.mu.Unlock()
		if err := writeSaved(filepath.Join(dir, u.ID+".json.gz"), saved); err != nil {
			return fmt.Errorf("save mailbox %s: %w", u.ID, err)
		}
	}
	return nil
}

func writeSaved(name string, saved *savedMailbox) (err error) {
	f, err := os.CreateTemp(filepath.Dir(name), ".saving-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close(), os.Remove(f.Name()))
		}
	}()
	z := gzip.NewWriter(f)
	if err = json.NewEncoder(z).Encode(saved); err != nil {
		return err
	}
	if err = z.Close(); err != nil {
		return err
	}
	if err = f.Sync(); err != nil {
		return err
	}
	if err = f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}

// Load adds the mailboxes that Save wrote into dir. A folder that does not
// exist holds none.
func (s *Server) Load(dir string) error {
	names, err := filepath.Glob(filepath.Join(dir, "*.json.gz"))
	if err != nil {
		return fmt.Errorf("load mailboxes: %w", err)
	}
	for _, name := range names {
		if err := s.loadFile(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("load mailbox %s: %w", filepath.Base(name), err)
		}
	}
	return nil
}

func (s *Server) loadFile(name string) (err error) {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	z, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	var saved savedMailbox
	if err := json.NewDecoder(z).Decode(&saved); err != nil {
		return err
	}
	mb, err := restore(&saved, &s.set, s.now())
	if err != nil {
		return err
	}
	return s.people.Add(mb.user, mb)
}

func (mb *mailbox) save() *savedMailbox {
	saved := &savedMailbox{User: mb.user, Counter: mb.counter, Change: mb.change, Generation: mb.generation, Categories: mb.categories, Settings: mb.settings}
	for _, f := range mb.folders {
		sf := savedFolder{Num: f.num, Name: f.name, WellKnown: f.wellKnown, Hidden: f.hidden, Created: f.created}
		if f.parent != nil {
			sf.Parent = f.parent.num
		}
		saved.Folders = append(saved.Folders, sf)
		for _, m := range f.items {
			saved.Messages = append(saved.Messages, m.save())
		}
	}
	return saved
}

func (m *message) save() savedMessage {
	st, c := m.st, m.st.c
	sm := savedMessage{
		Num: m.num, Folder: m.folder.num, MID: m.mid, Created: m.created, Conv: m.conv, ReplyTo: m.replyTo, ReplyVerb: m.replyVerb,
		Read: st.read, Draft: st.draft, Outgoing: st.outgoing, FlagStatus: st.flag.status, Due: st.flag.due, Start: st.flag.start, Done: st.flag.completed,
		Categories: st.categories, Importance: st.importance, Inference: st.inference, ReadReceipt: st.readReceipt, DlvReceipt: st.deliveryReceipt,
		Props: st.props, Size: st.size, Change: st.change, Modified: st.modified, Received: st.received, Sent: st.sentAt,
	}
	if !c.made {
		sm.Raw = c.raw
		return sm
	}
	sc := &savedContent{
		Subject: c.subject, MessageID: c.messageID, InReplyTo: c.inReplyTo, Topic: c.topic, Body: c.body, From: c.from, Sender: c.sender,
		To: c.to, CC: c.cc, BCC: c.bcc, ReplyTo: c.replyTo, References: c.references, Index: c.index, HTML: c.html, Sent: c.sent,
	}
	for _, f := range c.custom {
		sc.Custom = append(sc.Custom, [2]string{f.Name, string(f.Value)})
	}
	for _, a := range c.attachments {
		sc.Attachments = append(sc.Attachments, savedAttachment{[]byte(a.key), a.item, a.inline, a.name, a.ctype, a.cid, a.location, a.modified, a.bytes()})
	}
	sm.Made = sc
	return sm
}

// restore rebuilds a mailbox. The logs begin anew, so the generation of sync
// tokens does too.
func restore(saved *savedMailbox, set *Settings, now time.Time) (*mailbox, error) {
	mb := newMailbox(saved.User, set, now)
	mb.counter, mb.change, mb.generation = saved.Counter, saved.Change, saved.Generation+1
	mb.categories, mb.settings = saved.Categories, saved.Settings
	clear(mb.folders)
	clear(mb.wellKnown)
	for _, sf := range saved.Folders {
		f := &folder{num: sf.Num, name: sf.Name, wellKnown: sf.WellKnown, hidden: sf.Hidden, created: sf.Created, last: map[uint64]int32{}}
		mb.folders[f.num] = f
		if f.wellKnown != "" {
			mb.wellKnown[f.wellKnown] = f
		}
	}
	for _, sf := range saved.Folders {
		f := mb.folders[sf.Num]
		f.parent = mb.folders[sf.Parent]
		if sf.Parent != 0 && f.parent == nil {
			return nil, fmt.Errorf("folder %d has no parent", sf.Num)
		}
		mb.touchFolder(f, now)
	}
	if mb.root = mb.wellKnown["msgfolderroot"]; mb.root == nil {
		return nil, errors.New("no root folder")
	}
	for i := range saved.Messages {
		sm := &saved.Messages[i]
		f := mb.folders[sm.Folder]
		if f == nil {
			return nil, fmt.Errorf("message %d is in no folder", sm.Num)
		}
		m := sm.restore()
		mb.insert(m, f, false, now)
		delete(mb.byMID, m.mid)
		m.mid = sm.MID
		f.log[len(f.log)-1].mid = m.mid
		mb.byMID[m.mid] = m
		if m.st.c.messageID != "" {
			mb.byMessageID[m.st.c.messageID] = m.conv
		}
		if topic, _ := topicOf(m.st.c.subject); topic != "" {
			mb.byTopic[topic] = m.conv
		}
	}
	mb.counter = saved.Counter
	return mb, nil
}

func (sm *savedMessage) restore() *message {
	st := &state{
		read: sm.Read, draft: sm.Draft, outgoing: sm.Outgoing, flag: flag{sm.FlagStatus, sm.Due, sm.Start, sm.Done}, categories: sm.Categories,
		importance: sm.Importance, inference: sm.Inference, readReceipt: sm.ReadReceipt, deliveryReceipt: sm.DlvReceipt,
		props: sm.Props, size: sm.Size, change: sm.Change, modified: sm.Modified, received: sm.Received, sentAt: sm.Sent,
	}
	if sc := sm.Made; sc == nil {
		st.c = parseContent(sm.Raw)
	} else {
		st.c = sc.restore()
		st.c.importance, st.c.readReceipt, st.c.dlvReceipt = st.importance, st.readReceipt, st.deliveryReceipt
	}
	return &message{num: sm.Num, created: sm.Created, conv: sm.Conv, replyTo: sm.ReplyTo, replyVerb: sm.ReplyVerb, st: st}
}

func (sc *savedContent) restore() *content {
	c := &content{
		made: true, loaded: true, subject: sc.Subject, messageID: sc.MessageID, inReplyTo: sc.InReplyTo, topic: sc.Topic, body: sc.Body,
		from: sc.From, sender: sc.Sender, to: sc.To, cc: sc.CC, bcc: sc.BCC, replyTo: sc.ReplyTo, references: sc.References,
		index: sc.Index, html: sc.HTML, sent: sc.Sent, preview: makePreview(sc.HTML, sc.Body),
	}
	for _, f := range sc.Custom {
		c.custom = append(c.custom, mimetree.Field{Name: f[0], Value: []byte(f[1])})
	}
	for _, a := range sc.Attachments {
		c.attach(&attachment{key: string(a.Key), item: a.Item, inline: a.Inline, name: a.Name, ctype: a.Type, cid: a.CID, location: a.Location, modified: a.Modified, data: a.Data})
	}
	return c
}

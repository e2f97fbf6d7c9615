package gmail

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// A mask is a `fields` parameter: which members of an answer are wanted. nil is
// all of them; "*" stands for every member.
//
//	nextPageToken,messages(id,threadId)
//	history/messagesAdded/message/id
//	payload/headers(name),*
type mask map[string]mask

func errFields(err error) *Error {
	return &Error{
		Code: http.StatusBadRequest, Status: "INVALID_ARGUMENT", Reason: "invalidParameter", Location: "fields", LocationType: "parameter",
		Message: "Invalid field selection " + clip(err.Error(), 100),
	}
}

// fieldNames are the members that answers of this API may have, whatever the
// method: another name in a mask is a mistake.
var fieldNames = func() map[string]bool {
	names := map[string]bool{"*": true}
	for _, n := range strings.Fields(`
		accessWindow action addLabelIds attachmentId autoExpunge backgroundColor body
		classificationLabelValues color criteria cseIdentities cseKeyPairs data delegateEmail
		delegates disableTime displayLanguage displayName disposition drafts emailAddress
		enableAutoReply enabled enablementState endTime excludeChats expiration expungeBehavior
		fieldId fields filename filter forward forwardingAddresses forwardingEmail from
		hasAttachment headers history historyId host id internalDate isDefault isPrimary issuerCn
		keyPairId labelId labelIds labelListVisibility labels labelsAdded labelsRemoved
		maxFolderSize message messageListVisibility messages messagesAdded messagesDeleted
		messagesTotal messagesUnread mimeType name negatedQuery nextPageToken partId parts
		payload pem port primaryKeyPairId privateKeyMetadata query raw removeLabelIds
		replyToAddress responseBodyHtml responseBodyPlainText responseSubject restrictToContacts
		restrictToDomain resultSizeEstimate securityMode sendAs sendAsEmail signature size
		sizeComparison sizeEstimate smimeInfo smtpMsa snippet startTime subject
		subjectEmailAddresses textColor threadId threads threadsTotal threadsUnread to
		treatAsAlias type username value verificationStatus`) {
		names[n] = true
	}
	return names
}()

// parseMask reads the `fields` parameter of Google's APIs: names divided by
// commas, a/b for a member of a member, a(b,c) for several.
func parseMask(s string) (mask, error) {
	p := maskParser{s: s}
	m, err := p.list()
	if err == nil && p.i < len(s) {
		err = fmt.Errorf("unexpected %q", s[p.i:])
	}
	return m, err
}

type maskParser struct {
	s     string
	i     int
	depth int
}

func (p *maskParser) peek() byte {
	if p.i < len(p.s) {
		return p.s[p.i]
	}
	return 0
}

func (p *maskParser) list() (mask, error) {
	if p.depth++; p.depth > 32 {
		return nil, fmt.Errorf("too deep")
	}
	defer func() { p.depth-- }()
	m := mask{}
	for {
		if err := p.path(m); err != nil {
			return nil, err
		}
		if p.peek() != ',' {
			return m, nil
		}
		p.i++
	}
}

// path reads a, a/b or a(b,c) into m.
func (p *maskParser) path(m mask) error {
	start := p.i
	for p.i < len(p.s) && !strings.ContainsRune(",/()", rune(p.s[p.i])) {
		p.i++
	}
	name := strings.TrimSpace(p.s[start:p.i])
	if !fieldNames[name] {
		return fmt.Errorf("%s", name)
	}
	var sub mask
	var err error
	switch p.peek() {
	case '/':
		p.i++
		sub = mask{}
		if p.depth++; p.depth > 32 {
			return fmt.Errorf("too deep")
		}
		err = p.path(sub)
		p.depth--
	case '(':
		p.i++
		if sub, err = p.list(); err == nil && p.peek() != ')' {
			return fmt.Errorf("%s", p.s[start:])
		}
		p.i++
	}
	if err != nil {
		return err
	}
	if old, there := m[name]; there {
		sub = merge(old, sub)
	}
	m[name] = sub
	return nil
}

// merge wants what either wants.
func merge(a, b mask) mask {
	if a == nil || b == nil {
		return nil
	}
	for name, sub := range b {
		if old, there := a[name]; there {
			sub = merge(old, sub)
		}
		a[name] = sub
	}
	return a
}

// of is the mask of a member, and whether it is wanted.
func (m mask) of(name string) (mask, bool) {
	sub, named := m[name]
	all, star := m["*"]
	switch {
	case named && star:
		return merge(merge(mask{}, sub), all), true
	case named:
		return sub, true
	default:
		return all, star
	}
}

// apply gives the part of a JSON document that the mask selects; empty when
// that is nothing. Members keep their order.
func (m mask) apply(doc []byte) ([]byte, error) {
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	out, err := m.value(d)
	if err != nil {
		return nil, fmt.Errorf("apply mask: %w", err)
	}
	return out, nil
}

// value reads one value and gives what is left of it: nil for nothing.
func (m mask) value(d *json.Decoder) ([]byte, error) {
	if m == nil {
		var whole json.RawMessage
		err := d.Decode(&whole)
		return whole, err
	}
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	var out []byte
	add := func(member []byte) {
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(out, member...)
	}
	switch t {
	case json.Delim('{'):
		out = append(out, '{')
		for d.More() {
			if t, err = d.Token(); err != nil {
				return nil, err
			}
			name, _ := t.(string) // a key is a string
			sub, wanted := m.of(name)
			if !wanted {
				sub = mask{} // read and dropped
			}
			v, err := sub.value(d)
			if err != nil {
				return nil, err
			}
			if wanted && v != nil {
				key, _ := json.Marshal(name) // a string can be marshalled
				add(append(append(key, ':'), v...))
			}
		}
		out = append(out, '}')
	case json.Delim('['):
		out = append(out, '[')
		for d.More() {
			v, err := m.value(d)
			if err != nil {
				return nil, err
			}
			if v != nil {
				add(v)
			}
		}
		out = append(out, ']')
	default:
		return nil, nil // a scalar has no members to select
	}
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	if len(out) == 2 {
		return nil, nil
	}
	return out, nil
}

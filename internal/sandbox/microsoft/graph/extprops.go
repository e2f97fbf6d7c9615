package graph

import (
	"bytes"
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/postern-mail/postern/internal/sandbox/mimetree"
)

// Extended properties are MAPI properties by name: "Integer 0x0E07",
// "String {GUID} Name x", "Integer {GUID} Id 0x8001". Ids come back normalised:
// lower-case hex without leading zeros.

var propTypes = map[string]string{
	"applicationtime": "ApplicationTime", "binary": "Binary", "boolean": "Boolean", "clsid": "CLSID", "currency": "Currency",
	"double": "Double", "float": "Float", "integer": "Integer", "long": "Long", "short": "Short", "string": "String", "systemtime": "SystemTime",
}

// parsePropID gives the id that is stored, with four hex digits at least, so
// that the ways of writing one property meet.
func parsePropID(id string) (string, error) {
	bad := errBadRequest("The extended property id '%s' is invalid.", id)
	kind, rest, ok := strings.Cut(strings.TrimSpace(id), " ")
	t := propTypes[strings.ToLower(kind)]
	if !ok || t == "" {
		return "", bad
	}
	if t == "Long" { // some clients write Long for Integer
		t = "Integer"
	}
	rest = strings.TrimSpace(rest)
	if strings.HasPrefix(rest, "{") {
		guid, name, ok := strings.Cut(rest, "} ")
		if !ok || len(guid) != 37 {
			return "", bad
		}
		key, value, ok := strings.Cut(strings.TrimSpace(name), " ")
		switch {
		case ok && strings.EqualFold(key, "Name") && value != "":
			return t + " " + strings.ToLower(guid) + "} Name " + value, nil
		case ok && strings.EqualFold(key, "Id"):
			if n, err := strconv.ParseUint(value, 0, 32); err == nil {
				return t + " " + strings.ToLower(guid) + "} Id 0x" + strconv.FormatUint(n, 16), nil
			}
		}
		return "", bad
	}
	n, err := strconv.ParseUint(rest, 0, 16)
	if err != nil {
		return "", bad
	}
	return tagID(t, n), nil
}

func tagID(kind string, tag uint64) string {
	return kind + " 0x" + strings.Repeat("0", max(0, 4-len(strconv.FormatUint(tag, 16)))) + strconv.FormatUint(tag, 16)
}

// shown is an id as the service returns it.
func shownPropID(id string) string {
	i := strings.LastIndex(id, " 0x")
	if i < 0 || strings.Contains(id, "{") {
		return id
	}
	return id[:i] + " 0x" + strings.TrimLeft(id[i+3:], "0")
}

// Tags with a meaning of their own (MS-OXPROPS).
const (
	tagMessageFlags = "Integer 0x0e07"
	tagSize         = "Integer 0x0e08"
	tagDelivered    = "SystemTime 0x0e06"
	tagSubmitted    = "SystemTime 0x0039"
)

// readOnlyProps cannot be set once a message is saved.
var readOnlyProps = map[string]bool{tagMessageFlags: true, tagSize: true, tagDelivered: true, "String 0x0e1d": true, "String 0x007d": true}

// computedProps are those that prop works out.
var computedProps = map[string]bool{
	tagMessageFlags: true, tagSize: true, tagDelivered: true, tagSubmitted: true, "String 0x001a": true, "String 0x0037": true,
	"String 0x0e1d": true, "String 0x1035": true, "String 0x1042": true, "String 0x1039": true, "String 0x007d": true,
}

// prop is the value of a property: computed for those that mirror a message's
// own fields, else what was stored.
func (st *state) prop(id string) (string, bool) {
	c := st.c
	text := func(s string) (string, bool) { return s, s != "" }
	switch id {
	case tagMessageFlags: // MS-OXCMSG 2.2.1.6
		n := 0
		if st.read {
			n |= 0x1
		}
		if st.draft {
			n |= 0x8
		}
		if c.load(); c.attached {
			n |= 0x10
		}
		return strconv.Itoa(n), true
	case tagSize:
		return strconv.FormatInt(st.size+st.size/20+1200, 10), true // not the size of the MIME
	case tagDelivered:
		return stamp(st.received), true
	case tagSubmitted:
		return stamp(st.sentAt), true
	case "String 0x001a":
		if c.meeting != "" {
			return "IPM.Schedule.Meeting.Request", true
		}
		return "IPM.Note", true
	case "String 0x0037":
		return text(c.subject)
	case "String 0x0e1d":
		topic := c.topic
		if topic == "" {
			topic = c.subject
		}
		return text(topic)
	case "String 0x1035":
		return text(c.messageID)
	case "String 0x1042":
		return text(c.inReplyTo)
	case "String 0x1039":
		return text(strings.Join(c.references, " "))
	case "String 0x007d":
		if c.made {
			return "", false
		}
		head, _, _ := bytes.Cut(c.raw, []byte("\r\n\r\n"))
		return mimetree.Guess(head), true
	}
	v, ok := st.props[id]
	return v, ok
}

// propValues gives to $filter those of the properties it names that the message
// has: no others can matter to it, and most messages have none.
func (st *state) propValues(named []string) []lookup {
	var items []lookup
	for _, id := range named {
		if _, stored := st.props[id]; !stored && !computedProps[id] {
			continue
		}
		items = append(items, func(path string) (any, bool) {
			switch path {
			case "id":
				return id, true
			case "value":
				v, ok := st.prop(id)
				if !ok {
					return nil, true
				}
				return v, true
			}
			return nil, false
		})
	}
	return items
}

// expandProps are the properties that $expand's own $filter names.
func (st *state) expandProps(q *query, normalise bool) []entity {
	var es []entity
	for _, asked := range namedProps(q.filter, nil) {
		id, err := parsePropID(asked)
		if err != nil {
			continue
		}
		v, ok := st.prop(id)
		if !ok {
			continue
		}
		if normalise {
			asked = shownPropID(id)
		}
		es = append(es, entity{{"id", asked}, {"value", v}})
	}
	return es
}

// namedProps are the ids that an expression compares with, each once.
func namedProps(x expr, ids []string) []string {
	switch x := x.(type) {
	case logical:
		return namedProps(x.b, namedProps(x.a, ids))
	case comparison:
		if l, ok := x.b.(literal); ok && x.op == "eq" {
			if s, ok := l.value.(string); ok && !slices.Contains(ids, s) {
				return append(ids, s)
			}
		}
	}
	return ids
}

// A propValue is a property to be set.
type propValue struct{ id, value string }

// check refuses values that do not fit the type.
func (p propValue) check() error {
	kind, _, _ := strings.Cut(p.id, " ")
	var err error
	switch kind {
	case "Integer", "Short", "Currency":
		_, err = strconv.ParseInt(p.value, 10, 64)
	case "Double", "Float", "ApplicationTime":
		_, err = strconv.ParseFloat(p.value, 64)
	case "Boolean":
		_, err = strconv.ParseBool(strings.ToLower(p.value))
	case "Binary":
		_, err = base64.StdEncoding.DecodeString(p.value)
	case "SystemTime":
		_, err = parsePropTime(p.value)
	}
	if err != nil {
		return errInvalidRequest("The value of the extended property '" + shownPropID(p.id) + "' does not fit its type.")
	}
	return nil
}

func parsePropTime(s string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		t, err = time.Parse("2006-01-02T15:04:05", s)
	}
	return t.UTC(), err
}

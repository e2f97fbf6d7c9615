package graph

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"mime"
	"strings"

	"github.com/postern-mail/postern/internal/sandbox/mimetree"
)

// object is a JSON object from a client, its values still raw, in order.
type object struct {
	kind   string // for error messages
	keys   []string
	values map[string]json.RawMessage
}

// readObject parses a body. fold lower-cases the keys, for the parameters of
// actions, which clients spell in either case.
func readObject(b []byte, kind string, fold bool) (object, error) {
	o := object{kind: kind, values: map[string]json.RawMessage{}}
	bad := errRequestBody("Unable to read JSON request payload. Please ensure Content-Type header is set and payload is of valid JSON format.")
	d := json.NewDecoder(bytes.NewReader(b))
	t, err := d.Token()
	if err != nil || t != json.Delim('{') {
		return o, bad
	}
	for d.More() {
		t, err := d.Token()
		key, ok := t.(string)
		if err != nil || !ok {
			return o, bad
		}
		var v json.RawMessage
		if d.Decode(&v) != nil {
			return o, bad
		}
		if fold {
			key = strings.ToLower(key)
		}
		if _, dup := o.values[key]; dup {
			return o, errRequestBody("Multiple properties with the name '%s' were detected in a resource or complex value.", key)
		}
		o.keys = append(o.keys, key)
		o.values[key] = v
	}
	if _, err := d.Token(); err != nil {
		return o, bad
	}
	if _, err := d.Token(); err != io.EOF {
		return o, bad
	}
	return o, nil
}

// action reads the parameters of an action; an empty body has none.
func (c *call) action(known ...string) (object, error) {
	if len(bytes.TrimSpace(c.body)) == 0 {
		return object{}, nil
	}
	o, err := readObject(c.body, "action", true)
	if err != nil {
		return o, err
	}
	for _, k := range o.keys {
		if !contains(known, k) {
			return o, errRequestBody("The parameter '%s' in the request payload is not a valid parameter for the operation '%s'.", k, c.path.op)
		}
	}
	return o, nil
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

func isNull(v json.RawMessage) bool { return len(v) == 0 || string(v) == "null" }

// read decodes a value into T; JSON of another type is the client's mistake.
func read[T any](v json.RawMessage, edm string) (T, error) {
	var t T
	if isNull(v) {
		return t, nil
	}
	if err := json.Unmarshal(v, &t); err != nil {
		return t, errRequestBody("Cannot convert the literal '%s' to the expected type '%s'.", abbreviate(string(v)), edm)
	}
	return t, nil
}

func abbreviate(s string) string {
	if r := []rune(s); len(r) > 40 {
		return string(r[:40])
	}
	return s
}

func readString(v json.RawMessage) (string, error) { return read[string](v, "Edm.String") }

func readBool(v json.RawMessage) (bool, error) { return read[bool](v, "Edm.Boolean") }

// sub reads an object whose keys must all be known; annotations are skipped.
func sub(v json.RawMessage, kind string, known ...string) (object, error) {
	o, err := readObject(v, kind, false)
	if err != nil {
		return o, err
	}
	for _, k := range o.keys {
		if !strings.HasPrefix(k, "@") && !strings.Contains(k, "@odata.") && !contains(known, k) {
			return o, errUnknownProperty(k, kind)
		}
	}
	return o, nil
}

func readRecipient(v json.RawMessage) (*mimetree.Recipient, error) {
	if isNull(v) {
		return nil, nil
	}
	o, err := sub(v, "recipient", "emailAddress")
	if err != nil {
		return nil, err
	}
	if isNull(o.values["emailAddress"]) {
		return nil, nil
	}
	a, err := sub(o.values["emailAddress"], "emailAddress", "name", "address")
	if err != nil {
		return nil, err
	}
	var r mimetree.Recipient
	if r.Address, err = readString(a.values["address"]); err != nil {
		return nil, err
	}
	if r.Name, err = readString(a.values["name"]); err != nil {
		return nil, err
	}
	r.Address, r.Name = oneLine(r.Address), oneLine(r.Name)
	if r.Name == "" {
		r.Name = r.Address
	}
	return &r, nil
}

func readRecipients(v json.RawMessage) ([]mimetree.Recipient, error) {
	items, err := read[[]json.RawMessage](v, "Collection(microsoft.graph.recipient)")
	if err != nil {
		return nil, err
	}
	rs := make([]mimetree.Recipient, 0, len(items))
	for _, item := range items {
		r, err := readRecipient(item)
		if err != nil {
			return nil, err
		}
		if r != nil && r.Address != "" {
			rs = append(rs, *r)
		}
	}
	return rs, nil
}

// readBody reads an itemBody: content may be null, the type is text unless said.
func readItemBody(v json.RawMessage) (text string, html bool, err error) {
	if isNull(v) {
		return "", false, nil
	}
	o, err := sub(v, "itemBody", "contentType", "content")
	if err != nil {
		return "", false, err
	}
	kind, err := readString(o.values["contentType"])
	if err != nil {
		return "", false, err
	}
	switch strings.ToLower(kind) {
	case "html":
		html = true
	case "", "text":
	default:
		return "", false, errRequestBody("Requested value '%s' was not found.", abbreviate(kind))
	}
	text, err = readString(o.values["content"])
	return text, html, err
}

func readFlag(v json.RawMessage) (flag, error) {
	f := flag{status: "notFlagged"}
	if isNull(v) {
		return f, nil
	}
	o, err := sub(v, "followupFlag", "flagStatus", "dueDateTime", "startDateTime", "completedDateTime")
	if err != nil {
		return f, err
	}
	status, err := readString(o.values["flagStatus"])
	if err != nil {
		return f, err
	}
	if status != "" {
		if f.status, err = oneOf(status, "notFlagged", "flagged", "complete"); err != nil {
			return f, err
		}
	}
	for _, d := range []struct {
		name string
		at   **dateTimeZone
	}{{"dueDateTime", &f.due}, {"startDateTime", &f.start}, {"completedDateTime", &f.completed}} {
		if *d.at, err = read[*dateTimeZone](o.values[d.name], "microsoft.graph.dateTimeTimeZone"); err != nil {
			return f, err
		}
	}
	if f.due != nil && f.start == nil {
		return f, errInvalidRequest("The flag's start date is required when it has a due date.")
	}
	return f, nil
}

func oneOf(value string, allowed ...string) (string, error) {
	for _, a := range allowed {
		if strings.EqualFold(a, value) {
			return a, nil
		}
	}
	return "", errRequestBody("Requested value '%s' was not found.", abbreviate(value))
}

func readProps(v json.RawMessage) ([]propValue, error) {
	items, err := read[[]json.RawMessage](v, "Collection(microsoft.graph.singleValueLegacyExtendedProperty)")
	if err != nil {
		return nil, err
	}
	var ps []propValue
	for _, item := range items {
		o, err := sub(item, "singleValueLegacyExtendedProperty", "id", "value")
		if err != nil {
			return nil, err
		}
		id, err := readString(o.values["id"])
		if err != nil {
			return nil, err
		}
		var p propValue
		if p.id, err = parsePropID(id); err != nil {
			return nil, err
		}
		if p.value, err = readString(o.values["value"]); err != nil {
			return nil, err
		}
		if err := p.check(); err != nil {
			return nil, err
		}
		ps = append(ps, p)
	}
	return ps, nil
}

func readHeaders(v json.RawMessage, most int) ([]mimetree.Field, error) {
	items, err := read[[]json.RawMessage](v, "Collection(microsoft.graph.internetMessageHeader)")
	if err != nil {
		return nil, err
	}
	var fs []mimetree.Field
	for _, item := range items {
		o, err := sub(item, "internetMessageHeader", "name", "value")
		if err != nil {
			return nil, err
		}
		name, err := readString(o.values["name"])
		if err != nil {
			return nil, err
		}
		value, err := readString(o.values["value"])
		if err != nil {
			return nil, err
		}
		if _, _, ok := mimetree.CutField([]byte(name + ":")); !ok || !strings.HasPrefix(strings.ToLower(name), "x-") {
			return nil, errHeaderName(abbreviate(name))
		}
		fs = append(fs, mimetree.Field{Name: name, Value: []byte(oneLine(value))})
	}
	if len(fs) > most {
		return nil, errHeaderCount(most)
	}
	return fs, nil
}

// isMIME says whether the body is a message in base64 instead of JSON.
func (c *call) isMIME() (bool, error) {
	ctype := c.r.Header.Get("Content-Type")
	media, _, err := mime.ParseMediaType(ctype)
	switch {
	case len(c.body) == 0:
		return false, nil
	case err == nil && media == "text/plain":
		return true, nil
	case err == nil && media == "application/json":
		return false, nil
	}
	return false, &Error{Status: 415, Code: "RequestBodyRead", Message: "The media type of the request payload is not supported; it must be application/json or text/plain."}
}

// readMIME decodes a MIME body.
func (c *call) readMIME() ([]byte, error) {
	b := bytes.Map(func(r rune) rune {
		if r == '\r' || r == '\n' || r == ' ' || r == '\t' {
			return -1
		}
		return r
	}, c.body)
	raw, err := base64.StdEncoding.DecodeString(string(b))
	if err != nil || len(raw) == 0 {
		return nil, errInvalidMIME()
	}
	return mimetree.Normalise(raw), nil
}

package fidelity

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A discovery is Google's description of an API, as far as it is read here.
type discovery struct {
	Resources map[string]*discoveryResource
	Schemas   map[string]*discoverySchema

	methods map[string]*discoveryMethod // by id
}

type discoveryResource struct {
	Methods   map[string]*discoveryMethod
	Resources map[string]*discoveryResource
}

type discoveryMethod struct {
	ID         string
	HTTPMethod string
	FlatPath   string
	Path       string
	Response   *discoverySchema
}

type discoverySchema struct {
	Ref        string `json:"$ref"`
	Type       string
	Format     string
	Enum       []string
	Items      *discoverySchema
	Properties map[string]*discoverySchema
	Additional *discoverySchema `json:"additionalProperties"`
}

// loadDiscovery reads the description; without it the test is skipped.
func loadDiscovery(t *testing.T) *discovery {
	t.Helper()
	p, ok := contracts(t, "gmail-discovery.json")
	if !ok {
		t.Skip("../shared is not present")
	}
	b, err := os.ReadFile(p)
	if err != nil {
		t.Fatal(err)
	}
	d := &discovery{methods: map[string]*discoveryMethod{}}
	if err := json.Unmarshal(b, d); err != nil {
		t.Fatal(err)
	}
	var walk func(map[string]*discoveryResource)
	walk = func(rs map[string]*discoveryResource) {
		for _, r := range rs {
			for _, m := range r.Methods {
				d.methods[m.ID] = m
			}
			walk(r.Resources)
		}
	}
	walk(d.Resources)
	return d
}

// made reports whether a request is one of this method's.
func (m *discoveryMethod) made(verb, path string) bool {
	template := m.FlatPath
	if template == "" {
		template = m.Path
	}
	var pattern strings.Builder
	for i, text := range regexp.MustCompile(`\{[^}]+\}`).Split(template, -1) {
		if i > 0 {
			pattern.WriteString(`[^/]+?`)
		}
		pattern.WriteString(regexp.QuoteMeta(text))
	}
	ok, err := regexp.MatchString(`^(/resumable)?(/upload)?/`+pattern.String()+`$`, path)
	return err == nil && ok && verb == m.HTTPMethod
}

// validate holds an answer of a method against the description: no member that
// it does not have, and each of its type and format.
func (d *discovery) validate(m *discoveryMethod, status int, body []byte) error {
	switch {
	case status >= 400:
		return validateRefusal(status, body)
	case m.Response == nil:
		if status != 204 || len(body) > 0 {
			return fmt.Errorf("%d with %d bytes where nothing is answered", status, len(body))
		}
		return nil
	case status != 200:
		return fmt.Errorf("status %d", status)
	}
	v, err := parseJSON(body)
	if err != nil {
		return err
	}
	return d.check("answer", m.Response, v)
}

func parseJSON(body []byte) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, fmt.Errorf("the answer: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one document")
	}
	return v, nil
}

func (d *discovery) check(at string, s *discoverySchema, v any) error {
	if s.Ref != "" {
		named := d.Schemas[s.Ref]
		if named == nil {
			return fmt.Errorf("%s: no schema %s", at, s.Ref)
		}
		return d.check(at, named, v)
	}
	switch v := v.(type) {
	case map[string]any:
		if s.Type != "object" {
			return fmt.Errorf("%s is an object, not %s", at, s.Type)
		}
		for name, member := range v {
			p := s.Properties[name]
			if p == nil {
				p = s.Additional
			}
			if p == nil {
				return fmt.Errorf("%s has no member %q", at, name)
			}
			if err := d.check(at+"."+name, p, member); err != nil {
				return err
			}
		}
		return nil
	case []any:
		if s.Type != "array" {
			return fmt.Errorf("%s is an array, not %s", at, s.Type)
		}
		for i, item := range v {
			if err := d.check(fmt.Sprintf("%s[%d]", at, i), s.Items, item); err != nil {
				return err
			}
		}
		return nil
	}
	return checkScalar(at, s, v)
}

func checkScalar(at string, s *discoverySchema, v any) error {
	text, isText := v.(string)
	number, isNumber := v.(json.Number)
	_, isBool := v.(bool)
	if s.Type == "string" != isText || (s.Type == "integer" || s.Type == "number") != isNumber || s.Type == "boolean" != isBool {
		return fmt.Errorf("%s is %T, not %s", at, v, s.Type)
	}
	var err error
	switch s.Format {
	case "int64":
		_, err = strconv.ParseInt(text, 10, 64)
	case "uint64":
		_, err = strconv.ParseUint(text, 10, 64)
	case "byte":
		_, err = base64.URLEncoding.DecodeString(text)
	case "int32", "uint32":
		var n int64
		if n, err = number.Int64(); err == nil && (n > math.MaxUint32 || s.Format == "int32" && n > math.MaxInt32 || s.Format == "uint32" && n < 0) {
			err = errors.New("out of range")
		}
	case "", "google-datetime":
	default:
		err = errors.New("of a format that this test does not know: " + s.Format)
	}
	if err != nil {
		return fmt.Errorf("%s: %v is no %s: %w", at, v, s.Format, err)
	}
	if len(s.Enum) > 0 && !slices.Contains(s.Enum, text) {
		return fmt.Errorf("%s: %q is not one of %v", at, text, s.Enum)
	}
	return nil
}

// validateRefusal checks the form of Google's errors, which the description
// leaves out: {"error":{"code","message","errors","status","details"}}.
func validateRefusal(status int, body []byte) error {
	var in struct {
		Error *struct {
			Code    int
			Message string
			Status  string
			Errors  []struct{ Message, Domain, Reason, Location, LocationType string }
			Details []map[string]any
		}
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&in); err != nil {
		return fmt.Errorf("refusal: %w", err)
	}
	if in.Error == nil || in.Error.Code != status || in.Error.Message == "" {
		return fmt.Errorf("refusal %d without its code and message", status)
	}
	for _, e := range in.Error.Errors {
		if e.Message == "" || e.Domain == "" || e.Reason == "" {
			return fmt.Errorf("refusal with half an entry: %+v", e)
		}
	}
	for _, d := range in.Error.Details {
		if kind, _ := d["@type"].(string); !strings.HasPrefix(kind, "type.googleapis.com/google.rpc.") {
			return fmt.Errorf("refusal with a detail of type %q", kind)
		}
	}
	return nil
}

// TestFidelityGoogleValidation: the checks of the other tests find what is wrong.
func TestFidelityGoogleValidation(t *testing.T) {
	d := loadDiscovery(t)
	get, stop := d.methods["gmail.users.messages.get"], d.methods["gmail.users.stop"]
	for _, c := range []struct {
		m      *discoveryMethod
		status int
		body   string
		want   string // "": nothing is wrong
	}{
		{get, 200, `{"id":"1","historyId":"18446744073709551615","internalDate":"-1","sizeEstimate":1,"raw":"Pj4_","labelIds":["A"],"payload":{"parts":[{"body":{"size":1}}]}}`, ""},
		{get, 200, `{"id":"1","colour":"red"}`, `no member "colour"`},
		{get, 200, `{"payload":{"parts":[{"bodies":{}}]}}`, `answer.payload.parts[0] has no member "bodies"`},
		{get, 200, `{"historyId":5}`, "not string"},
		{get, 200, `{"historyId":"-5"}`, "no uint64"},
		{get, 200, `{"sizeEstimate":"5"}`, "not integer"},
		{get, 200, `{"sizeEstimate":3000000000}`, "out of range"},
		{get, 200, `{"sizeEstimate":1.5}`, "no int32"},
		{get, 200, `{"raw":"Pj4/"}`, "no byte"},
		{get, 200, `{"labelIds":"A"}`, "not array"},
		{get, 200, `{"labelIds":[null]}`, "not string"},
		{get, 200, `{"payload":[]}`, "not object"},
		{get, 200, `{}{}`, "more than one document"},
		{get, 200, ``, "EOF"},
		{get, 204, ``, "status 204"},
		{stop, 204, ``, ""},
		{stop, 200, `{}`, "where nothing is answered"},
		{d.methods["gmail.users.labels.get"], 200, `{"type":"robot"}`, "not one of"},
		{get, 404, `{"error":{"code":404,"message":"x","errors":[{"message":"x","domain":"global","reason":"notFound"}],"status":"NOT_FOUND"}}`, ""},
		{get, 404, `{"error":{"code":400,"message":"x"}}`, "without its code"},
		{get, 404, `{"error":{"code":404,"message":"x","errors":[{"message":"x"}]}}`, "half an entry"},
		{get, 404, `{"error":{"code":404,"message":"x","details":[{"@type":"x"}]}}`, "of type"},
		{get, 404, `{"error":{"code":404,"message":"x","why":"y"}}`, "unknown field"},
	} {
		err := d.validate(c.m, c.status, []byte(c.body))
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%d %s: %v, want %q", c.status, c.body, err, c.want)
		}
	}
	if !get.made("GET", "/gmail/v1/users/me/messages/1") || get.made("POST", "/gmail/v1/users/me/messages/1") || get.made("GET", "/gmail/v1/users/me/messages/1/modify") {
		t.Error("requests are not told apart")
	}
}

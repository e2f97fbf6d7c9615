package gmail

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// systemParams may stand in every request (DISC "parameters").
var systemParams = []string{
	"$.xgafv", "access_token", "alt", "callback", "fields", "key", "oauth_token", "prettyPrint", "quotaUser",
	"uploadType", "upload_protocol", "upload_id", "$alt", "$fields", "$prettyPrint",
}

// checkQuery refuses parameters that the method does not take and values that
// do not fit their type. Names may be written in snake case.
func (c *call) checkQuery() error {
	for name, values := range c.query {
		if slices.Contains(systemParams, name) {
			continue
		}
		i := slices.IndexFunc(c.method.query, func(p param) bool { return p.name == name || snake(p.name) == name })
		if i < 0 {
			return errField("", "Invalid JSON payload received. Unknown name %q: Cannot bind query parameter. "+
				"Field '%s' could not be found in request message.", name, name)
		}
		p := c.method.query[i]
		if len(values) > 1 && !p.repeated {
			return errField(snake(p.name), "Invalid value at '%s', repeated for a field that is not", snake(p.name))
		}
		for j, v := range values {
			fixed, err := p.check(v)
			if err != nil {
				return err
			}
			values[j] = fixed
		}
		if name != p.name {
			c.query[p.name] = append(c.query[p.name], values...)
		}
	}
	return nil
}

// check returns a value as handlers read it: enum values in the spelling of
// the discovery document, in whatever case they came.
func (p param) check(v string) (string, error) {
	bad := func(typ string) error {
		return errField(snake(p.name), "Invalid value at '%s' (%s), %q", snake(p.name), typ, v)
	}
	switch p.kind {
	case pBool:
		if b, err := strconv.ParseBool(v); err == nil {
			return strconv.FormatBool(b), nil
		}
		return "", bad("TYPE_BOOL")
	case pUint32:
		if _, err := strconv.ParseUint(v, 10, 32); err != nil {
			return "", bad("TYPE_UINT32")
		}
	case pUint64:
		if _, err := strconv.ParseUint(v, 10, 64); err != nil {
			return "", bad("TYPE_UINT64")
		}
	case pEnum:
		flat := func(s string) string { return strings.ToLower(strings.ReplaceAll(s, "_", "")) }
		for _, known := range p.values {
			if flat(known) == flat(v) {
				return known, nil
			}
		}
		return "", bad("TYPE_ENUM")
	}
	return v, nil
}

// flag is a boolean parameter.
func (c *call) flag(name string) bool { return c.query.Get(name) == "true" }

// limit is maxResults: at most most, and usual when it is missing or 0.
func (c *call) limit(usual, most int) int {
	n, _ := strconv.ParseUint(c.query.Get("maxResults"), 10, 32) // checked
	if n == 0 {
		return usual
	}
	return int(min(n, uint64(most)))
}

// snake is a name as protocol buffers spell it.
func snake(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r >= 'A' && r <= 'Z' {
			b.WriteByte('_')
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return b.String()
}

// maxJSON bounds the JSON body of a request that carries no message.
const maxJSON = 1 << 20

// body reads the JSON body of at most most bytes into v. No body at all is an
// empty message.
func (c *call) body(v any, most int64) error {
	b, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, most))
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return &Error{Code: http.StatusRequestEntityTooLarge, Reason: "uploadTooLarge", Message: "Request entity too large."}
	}
	if err != nil {
		return fmt.Errorf("read body: %w", err)
	}
	return decodeBody(b, v)
}

// decodeBody reads JSON as Google's front end does: unknown names and wrong
// types are refused in its words.
func decodeBody(b []byte, v any) error {
	if len(bytes.TrimSpace(b)) == 0 {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	err := d.Decode(v)
	var wrong *json.UnmarshalTypeError
	switch {
	case err == nil:
		if _, err := d.Token(); !errors.Is(err, io.EOF) {
			return errParse("Expected end of payload.")
		}
		return nil
	case errors.As(err, &wrong):
		return errField(snake(wrong.Field), "Invalid value at '%s', %s", snake(wrong.Field), wrong.Value)
	}
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return errField("", "Invalid JSON payload received. Unknown name %s: Cannot find field.", name)
	}
	return errParse("Parse error.")
}

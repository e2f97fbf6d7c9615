package providertest

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// stepLimit bounds a step's answer, stepTime its duration.
const (
	stepLimit = 64 << 20
	stepTime  = time.Minute
)

// step is one thing that a world does: an HTTP request, a command, or, to
// connect, a form that is filled in.
type step struct {
	Get    string `yaml:"get"`
	Post   string `yaml:"post"`
	Put    string `yaml:"put"`
	Patch  string `yaml:"patch"`
	Delete string `yaml:"delete"`
	// Body of the request; a message to be delivered where it is empty.
	Body   string            `yaml:"body"`
	Header map[string]string `yaml:"header"`
	// Command is run as it stands, without a shell; a message to be delivered
	// is its standard input.
	Command []string `yaml:"command"`
	Form    *form    `yaml:"form"`
	// Result is the path to what counts in a JSON answer: "tokens.refresh".
	Result string `yaml:"result"`
}

// request gives method and address, empty for a command.
func (s *step) request() (method, address string) {
	for method, address := range map[string]string{
		http.MethodGet: s.Get, http.MethodPost: s.Post, http.MethodPut: s.Put, http.MethodPatch: s.Patch, http.MethodDelete: s.Delete,
	} {
		if address != "" {
			return method, address
		}
	}
	return "", ""
}

func (s *step) check(mayBeForm bool) error {
	if s == nil {
		return nil
	}
	n := 0
	for _, is := range []bool{s.Get != "", s.Post != "", s.Put != "", s.Patch != "", s.Delete != "", len(s.Command) > 0, s.Form != nil} {
		if is {
			n++
		}
	}
	if n != 1 {
		return errors.New("exactly one of get, post, put, patch, delete, command and form is needed")
	}
	if s.Form != nil {
		if !mayBeForm {
			return errors.New("only connect and deny can be a form")
		}
		if s.Form.Button == "" {
			return errors.New("form: button is missing")
		}
	}
	return nil
}

// run does the step and gives what it answered.
func (s *step) run(ctx context.Context, w *worldFile, v values, input []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, stepTime)
	defer cancel()
	if len(s.Command) > 0 {
		return s.execute(ctx, w, v, input)
	}
	method, template := s.request()
	address, err := v.fillURL(template)
	if err != nil {
		return nil, err
	}
	if s.Body != "" {
		text, err := v.fill(s.Body, inJSON)
		if err != nil {
			return nil, err
		}
		input = []byte(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(input))
	if err != nil {
		return nil, err
	}
	for name, value := range s.Header {
		if value, err = v.fill(value, plain); err != nil {
			return nil, err
		}
		req.Header.Set(name, value)
	}
	resp, err := w.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	out, err := io.ReadAll(io.LimitReader(resp.Body, stepLimit))
	if err != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	if resp.StatusCode/100 != 2 {
		return nil, fmt.Errorf("%s %s: %s: %s", method, address, resp.Status, brief(out))
	}
	return out, nil
}

func (s *step) execute(ctx context.Context, w *worldFile, v values, input []byte) ([]byte, error) {
	var argv []string
	for _, arg := range s.Command {
		filled, err := v.fill(arg, plain)
		if err != nil {
			return nil, err
		}
		argv = append(argv, filled)
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir, cmd.Stdin = w.dir, bytes.NewReader(input)
	cmd.WaitDelay = 5 * time.Second
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("command %s: %w: %s", argv[0], err, brief(errs.Bytes()))
	}
	return out, nil
}

// brief is the beginning of an answer, for an error.
func brief(b []byte) string {
	s := strings.TrimSpace(string(b))
	if len(s) > 300 {
		s = s[:300] + "…"
	}
	return s
}

// values fill templates: {address}, {id} and so on.
type values map[string]string

var placeholder = regexp.MustCompile(`\{([a-z][a-z_]*|env\.[A-Za-z0-9_]+)\}`)

// Ways to write a value into a template.
func plain(s string) string { return s }

// inJSON writes a value into a JSON string. A template that is no JSON has
// nothing to escape in an address or an id.
func inJSON(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		return s
	}
	return string(b[1 : len(b)-1])
}

// fill puts the values into a template; a name that is not known is an error.
func (v values) fill(template string, write func(string) string) (string, error) {
	var unknown error
	out := placeholder.ReplaceAllStringFunc(template, func(found string) string {
		name := found[1 : len(found)-1]
		if env, ok := strings.CutPrefix(name, "env."); ok {
			return write(os.Getenv(env))
		}
		value, ok := v[name]
		if !ok {
			unknown = fmt.Errorf("%s is not known here", found)
		}
		return write(value)
	})
	return out, unknown
}

// fillURL escapes the values as their place asks for: path or query.
func (v values) fillURL(template string) (string, error) {
	path, query, has := strings.Cut(template, "?")
	path, err := v.fill(path, func(s string) string {
		if strings.HasPrefix(s, "http://") || strings.HasPrefix(s, "https://") {
			return s // {env.BASE} at the beginning
		}
		return url.PathEscape(s)
	})
	if err != nil || !has {
		return path, err
	}
	query, err = v.fill(query, url.QueryEscape)
	return path + "?" + query, err
}

// pick finds a part of a JSON document by the names on the way to it.
func pick(doc []byte, path string) (json.RawMessage, error) {
	at := json.RawMessage(doc)
	for _, name := range strings.FieldsFunc(path, func(r rune) bool { return r == '.' }) {
		var object map[string]json.RawMessage
		if err := json.Unmarshal(at, &object); err != nil {
			return nil, fmt.Errorf("no object at %q: %w", name, err)
		}
		at = object[name]
		if at == nil {
			return json.RawMessage("null"), nil
		}
	}
	return at, nil
}

// count adds up all numbers in a part of a JSON document; what is not there
// counts nothing.
func count(doc []byte, path string) (int, error) {
	part, err := pick(doc, path)
	if err != nil {
		return 0, err
	}
	var v any
	if err := json.Unmarshal(part, &v); err != nil {
		return 0, err
	}
	return sum(v)
}

func sum(v any) (int, error) {
	total := 0
	add := func(v any) error {
		n, err := sum(v)
		total += n
		return err
	}
	switch v := v.(type) {
	case nil:
	case float64:
		return int(v), nil
	case []any:
		for _, part := range v {
			if err := add(part); err != nil {
				return 0, err
			}
		}
	case map[string]any:
		for _, part := range v {
			if err := add(part); err != nil {
				return 0, err
			}
		}
	case string:
		return strconv.Atoi(v)
	default:
		return 0, fmt.Errorf("%v is no number", v)
	}
	return total, nil
}

// newHTTPClient trusts the system's authorities and those of a PEM file. It
// follows no redirect: a form driver wants to see them.
func newHTTPClient(caFile string) (*http.Client, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if caFile != "" {
		pem, err := os.ReadFile(caFile)
		if err != nil {
			return nil, fmt.Errorf("read ca_file: %w", err)
		}
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("ca_file %s holds no certificate", caFile)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	return &http.Client{
		Transport:     transport,
		Timeout:       stepTime,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

package fidelity

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
)

// A spec is the service's description (OpenAPI).
type spec struct{ doc *openapi3.T }

// loadSpec gives the description, nil where there is none.
func loadSpec(t *testing.T) *spec {
	t.Helper()
	p, ok := contracts(t, "graph-mail-openapi.yaml")
	if !ok {
		return nil
	}
	doc, err := openapi3.NewLoader().LoadFromFile(p)
	if err != nil {
		t.Fatal(err)
	}
	return &spec{doc}
}

// check fails the test where validate finds fault.
func (s *spec) check(t *testing.T, template string, r *reply) {
	t.Helper()
	if s == nil {
		return
	}
	if err := s.validate(template, r); err != nil {
		t.Errorf("%s %s (%d): %v\n%.600s", r.req.Method, template, r.status, err, r.body)
	}
}

var placeholder = regexp.MustCompile(`\{([^}]+)\}`)

// validate holds a request that was made, and its answer, against the operation
// that the path of the description names.
func (s *spec) validate(template string, r *reply) error {
	item := s.doc.Paths.Value(template)
	if item == nil {
		return errors.New("the description has no such path")
	}
	op := item.GetOperation(r.req.Method)
	if op == nil {
		return errors.New("the description has no such operation")
	}
	req := r.req.Clone(context.Background())
	req.Body = io.NopCloser(bytes.NewReader(r.sent))
	params := map[string]string{}
	for _, m := range placeholder.FindAllStringSubmatch(template, -1) {
		params[m[1]] = "x"
	}
	in := &openapi3filter.RequestValidationInput{
		Request: req, QueryParams: req.URL.Query(), PathParams: params,
		Route:   &routers.Route{Spec: s.doc, Path: template, PathItem: item, Method: req.Method, Operation: op},
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true, MultiError: true},
	}
	if r.status < 300 { // what was wrong on purpose need not be valid
		if err := openapi3filter.ValidateRequest(context.Background(), in); err != nil {
			return fmt.Errorf("request: %w", err)
		}
	}
	switch {
	case r.status == http.StatusNoContent || len(r.body) == 0 && r.status < 300:
		if op.Responses.Status(r.status) == nil {
			return errors.New("the status is not described")
		}
		return nil // no body to validate
	case strings.HasSuffix(template, "/$count") && r.status == http.StatusOK: // an integer as text, which kin-openapi takes for a string
		if _, err := strconv.Atoi(string(r.body)); err != nil || !strings.HasPrefix(r.header.Get("Content-Type"), "text/plain") {
			return fmt.Errorf("%q is no number", r.body)
		}
		return nil
	}
	return openapi3filter.ValidateResponse(context.Background(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: in, Status: r.status, Header: r.header, Body: io.NopCloser(bytes.NewReader(r.body)), Options: in.Options,
	})
}

// TestFidelityValidation shows that validation can fail.
func TestFidelityValidation(t *testing.T) {
	w := newWorld(t)
	if w.spec == nil {
		t.Skip("../shared is not present")
	}
	good := w.call("GET", "/me/messages/"+w.draft(""), nil).is(200)
	w.spec.check(t, "/me/messages/{message-id}", good)
	for _, broken := range []func(*reply){
		func(r *reply) { r.body = bytes.Replace(r.body, []byte(`"isRead":true`), []byte(`"isRead":"yes"`), 1) },
		func(r *reply) {
			r.body = bytes.Replace(r.body, []byte(`"importance":"normal"`), []byte(`"importance":"urgent"`), 1)
		},
		func(r *reply) {
			r.body = bytes.Replace(r.body, []byte(`Z","sentDateTime"`), []byte(`","sentDateTime"`), 1)
		},
		func(r *reply) {
			r.body = bytes.Replace(r.body, []byte(`"toRecipients":[`), []byte(`"toRecipients":[7,`), 1)
		},
		func(r *reply) { r.status = http.StatusNotFound },
		func(r *reply) { r.status = 600 },
	} {
		bad := *good
		broken(&bad)
		if bytes.Equal(bad.body, good.body) && bad.status == good.status {
			t.Fatal("nothing was broken")
		}
		if w.spec.validate("/me/messages/{message-id}", &bad) == nil {
			t.Errorf("valid: %d %s", bad.status, bad.body)
		}
	}
}

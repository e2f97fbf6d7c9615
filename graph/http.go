package graph

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler/transport"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/postern-mail/postern/graph/generated"
	"github.com/postern-mail/postern/plugins/sdk/mail"
)

// serve takes a request in: who asks, in what form, then the operation. The forms
// are those of GraphQL over HTTP (application/json), graphql-sse in its mode of
// distinct connections, and graphql-transport-ws.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if !s.enter() {
		s.refuse(w, r, http.StatusServiceUnavailable, &mail.Error{Kind: mail.KindUnavailable, Message: "the gateway is stopping"})
		return
	}
	defer s.open.Done()

	socket := strings.EqualFold(r.Header.Get("Upgrade"), "websocket")
	if header := r.Header.Get("Authorization"); header != "" || !socket {
		ctx, err := s.authenticate(r.Context(), header)
		if err != nil {
			status := http.StatusServiceUnavailable
			if mail.KindOf(err) == mail.KindUnauthorized {
				status = http.StatusUnauthorized
			}
			s.refuse(w, r, status, err)
			return
		}
		r = r.WithContext(ctx)
	}
	if socket {
		s.serveSocket(w, r)
		return
	}

	params, cleanUp, err := s.params(w, r)
	defer cleanUp()
	if err != nil {
		s.refuse(w, r, statusOf(err), err)
		return
	}
	ctx := graphql.StartOperationTrace(r.Context())
	op, errs := s.exec.CreateOperationContext(ctx, params)
	stream := r.Method == http.MethodPost && accepts(r, "text/event-stream")
	switch {
	case errs != nil:
		resp := s.exec.DispatchError(graphql.WithOperationContext(ctx, op), errs)
		writeErrors(w, statusOfList(resp.Errors), resp.Errors)
	case r.Method == http.MethodGet && op.Operation.Operation != ast.Query:
		w.Header().Set("Allow", "POST")
		s.refuse(w, r, http.StatusMethodNotAllowed, invalid("GET answers queries only"))
	case stream:
		s.serveEvents(w, r.WithContext(ctx), op)
	case op.Operation.Operation == ast.Subscription:
		s.refuse(w, r, http.StatusNotAcceptable, invalid("a subscription needs a WebSocket, or POST with Accept: text/event-stream"))
	default:
		respond, ctx := s.exec.DispatchOperation(ctx, op)
		resp := respond(ctx)
		if resp == nil { // the client went away, or its time was up before it began
			resp = &graphql.Response{Errors: gqlerror.List{s.present(ctx, context.Canceled)}}
		}
		writeResponse(w, http.StatusOK, resp)
	}
}

// bodyTimeout is how long the body of a request with a good key may take.
const bodyTimeout = 10 * time.Minute

// params reads an operation from a request. cleanUp removes uploaded files.
func (s *Server) params(w http.ResponseWriter, r *http.Request) (params *graphql.RawParams, cleanUp func(), err error) {
	cleanUp = func() {}
	params = &graphql.RawParams{Headers: r.Header}
	params.ReadTime.Start = graphql.Now()
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		err = queryParams(r.URL.Query(), params)
	case http.MethodPost:
		// Who asks is known by now, and may send large files over a slow line. A
		// server that has no deadlines needs none extended.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTimeout))
		var mediaType string
		if mediaType, _, err = mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil {
			return nil, cleanUp, errMediaType
		}
		switch mediaType {
		case "application/json":
			r.Body = http.MaxBytesReader(w, r.Body, s.opts.MaxJSON)
			err = decodeJSON(r.Body, params)
		case "multipart/form-data":
			r.Body = http.MaxBytesReader(w, r.Body, s.opts.MaxUpload)
			cleanUp, err = s.multipartParams(r, params)
		default:
			err = errMediaType
		}
	default:
		err = errMethod
	}
	params.ReadTime.End = graphql.Now()
	return params, cleanUp, err
}

func queryParams(q url.Values, params *graphql.RawParams) error {
	params.Query, params.OperationName = q.Get("query"), q.Get("operationName")
	for name, into := range map[string]*map[string]any{"variables": &params.Variables, "extensions": &params.Extensions} {
		if text := q.Get(name); text != "" {
			if err := decodeJSON(strings.NewReader(text), into); err != nil {
				return invalid("%s are not a JSON object", name)
			}
		}
	}
	return nil
}

// Refusals that have a status of their own.
var (
	errMediaType = invalid("the body must be application/json or multipart/form-data")
	errMethod    = invalid("the methods are GET and POST")
)

// decodeJSON reads one JSON value and nothing behind it.
func decodeJSON(r io.Reader, into any) error {
	dec := json.NewDecoder(r)
	dec.UseNumber()
	err := dec.Decode(into)
	if err == nil {
		if _, err = dec.Token(); errors.Is(err, io.EOF) {
			return nil
		}
		err = errors.New("something follows the JSON object")
	}
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return errTooLarge(tooLarge.Limit)
	}
	// encoding/json's words hold offsets and types, but also single characters of
	// the input; the first words are enough.
	return invalid("the body is not the JSON of a GraphQL request")
}

func errTooLarge(limit int64) error {
	return mail.Errorf(mail.KindTooLarge, "", "the request is larger than %d bytes; files may be larger as parts of a multipart request", limit)
}

func statusOf(err error) int {
	switch {
	case errors.Is(err, errMediaType):
		return http.StatusUnsupportedMediaType
	case errors.Is(err, errMethod):
		return http.StatusMethodNotAllowed
	case mail.KindOf(err) == mail.KindTooLarge:
		return http.StatusRequestEntityTooLarge
	case mail.KindOf(err) == mail.KindInvalid:
		return http.StatusBadRequest
	}
	return http.StatusInternalServerError
}

// statusOfList is the status of an operation that was refused before it began.
// A query hash that is not known is an answer within its protocol: 200.
func statusOfList(errs gqlerror.List) int {
	for _, err := range errs {
		switch err.Extensions["code"] {
		case string(generated.ErrorCodeBadInput), string(generated.ErrorCodeTooLarge):
			return http.StatusBadRequest
		}
	}
	return http.StatusOK
}

func accepts(r *http.Request, mediaType string) bool {
	for _, accepted := range strings.Split(r.Header.Get("Accept"), ",") {
		if got, _, err := mime.ParseMediaType(accepted); err == nil && got == mediaType {
			return true
		}
	}
	return false
}

func writeResponse(w http.ResponseWriter, status int, resp *graphql.Response) {
	b, err := json.Marshal(resp)
	if err != nil {
		// The data is JSON of our own making; that it is not would be a bug of a
		// scalar, which the client can only be told.
		status, b = http.StatusInternalServerError, []byte(`{"errors":[{"message":"the answer could not be written","extensions":{"code":"INTERNAL"}}],"data":null}`)
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(b)
}

func writeFault(w http.ResponseWriter, status int, f fault) {
	if f.extensions == nil {
		f.extensions = map[string]any{}
	}
	f.extensions["code"] = string(f.code)
	if f.retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(retrySeconds(f.retryAfter)))
	}
	writeErrors(w, status, gqlerror.List{{Message: f.message, Extensions: f.extensions}})
}

// writeErrors answers without data: nothing was begun.
func writeErrors(w http.ResponseWriter, status int, errs gqlerror.List) {
	var b bytes.Buffer
	_ = json.NewEncoder(&b).Encode(map[string]any{"errors": errs})
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes())
}

// endOfStream takes the error with which a stream over SSE ends.
type endOfStream struct{ errs gqlerror.List }

type endOfStreamKey struct{}

// endStream tells the client why its stream ends, after what was sent.
func (s *Server) endStream(ctx context.Context, err error) {
	told := s.present(ctx, gqlerror.WrapPath(graphql.GetPath(ctx), err))
	if end, ok := ctx.Value(endOfStreamKey{}).(*endOfStream); ok {
		end.errs = append(end.errs, told)
		return
	}
	transport.AddSubscriptionError(ctx, told)
}

package gmail

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/postern-mail/postern/internal/sandbox/front"
)

// maxBatchParts is how many requests one batch may have.
const maxBatchParts = 100

// maxBatchBytes bounds the body of a batch.
const maxBatchBytes = 32 << 20

// A batchPart is one request of a batch.
type batchPart struct {
	id     string // Content-ID as sent; "" where there was none
	method string
	target string
	header http.Header
	body   []byte
}

type batchKey struct{}

// batchOf is the batch that a request is a part of.
func batchOf(ctx context.Context) *slots {
	b, _ := ctx.Value(batchKey{}).(*slots)
	return b
}

// serveBatch answers POST /batch/gmail/v1: multipart/mixed, each part an HTTP
// request, which is authenticated, billed, counted and spoiled like any other.
// The answers come in any order, known by their Content-ID.
func (s *Server) serveBatch(next http.Handler) http.Handler {
	if s.opts.Item != nil {
		next = s.opts.Item(next)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			writeNoSuchURL(w, r)
			return
		}
		parts, err := readBatch(w, r)
		if err != nil {
			WriteError(w, err)
			return
		}
		held := &slots{}
		defer held.release()
		answers := make([][]byte, len(parts))
		for i, p := range parts {
			answers[i] = p.run(next, r, held)
		}
		if !s.set.BatchInOrder {
			slices.Reverse(answers)
		}
		writeBatch(w, answers)
	})
}

func errBatch(format string, args ...any) *Error {
	return &Error{Code: http.StatusBadRequest, Status: "INVALID_ARGUMENT", Reason: "badRequest", Message: fmt.Sprintf(format, args...)}
}

func readBatch(w http.ResponseWriter, r *http.Request) ([]batchPart, *Error) {
	media, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "multipart/mixed" || params["boundary"] == "" {
		return nil, errBatch("Failed to parse batch request, error: the content type is not multipart/mixed with a boundary.")
	}
	reader := multipart.NewReader(http.MaxBytesReader(w, r.Body, maxBatchBytes), params["boundary"])
	var parts []batchPart
	for {
		part, err := reader.NextRawPart()
		if errors.Is(err, io.EOF) {
			break
		}
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			return nil, errTooLarge(maxBatchBytes)
		}
		if err != nil {
			return nil, errBatch("Failed to parse batch request, error: %d items. The multipart body is malformed.", len(parts))
		}
		p, err := readPart(part)
		if errors.As(err, &large) {
			return nil, errTooLarge(maxBatchBytes)
		}
		if err != nil {
			return nil, errBatch("Failed to parse batch request, error: item %d: %v.", len(parts)+1, err)
		}
		if parts = append(parts, p); len(parts) > maxBatchParts {
			return nil, errBatch("The batch request must not contain more than %d calls.", maxBatchParts)
		}
	}
	if len(parts) == 0 {
		return nil, errBatch("Failed to parse batch request, error: 0 items.")
	}
	return parts, nil
}

// readPart reads a part of type application/http: request line, header, body.
func readPart(part *multipart.Part) (batchPart, error) {
	if media, _, err := mime.ParseMediaType(part.Header.Get("Content-Type")); err != nil || media != "application/http" {
		return batchPart{}, errors.New("the content type is not application/http")
	}
	in := bufio.NewReader(part)
	text := textproto.NewReader(in)
	line, err := text.ReadLine()
	if err != nil {
		return batchPart{}, fmt.Errorf("no request line: %w", err)
	}
	method, rest, _ := strings.Cut(line, " ")
	target, version, _ := strings.Cut(rest, " ")
	if method == "" || !strings.HasPrefix(target, "/") || version != "" && !strings.HasPrefix(version, "HTTP/") {
		return batchPart{}, fmt.Errorf("malformed request line %.100q", line)
	}
	if _, err := url.ParseRequestURI(target); err != nil {
		return batchPart{}, fmt.Errorf("malformed address %.100q", target)
	}
	header, err := text.ReadMIMEHeader()
	if err != nil && !errors.Is(err, io.EOF) { // without a body the empty line may be missing
		return batchPart{}, fmt.Errorf("malformed header: %w", err)
	}
	body, err := io.ReadAll(in)
	if err != nil {
		return batchPart{}, fmt.Errorf("malformed body: %w", err)
	}
	if n, err := strconv.Atoi(header.Get("Content-Length")); err == nil && n >= 0 && n <= len(body) {
		body = body[:n]
	}
	return batchPart{part.Header.Get("Content-ID"), method, target, http.Header(header), body}, nil
}

// run answers a part: the bytes of the part of the answer.
func (p batchPart) run(next http.Handler, outer *http.Request, held *slots) []byte {
	rec := front.Hold()
	ctx := context.WithValue(outer.Context(), batchKey{}, held)
	req, err := http.NewRequestWithContext(ctx, p.method, p.target, bytes.NewReader(p.body))
	switch {
	case err != nil:
		WriteError(rec, errBatch("Malformed request."))
	case strings.HasPrefix(req.URL.Path, "/upload/"), strings.HasPrefix(req.URL.Path, "/resumable/"):
		WriteError(rec, errBatch("Media uploads are not supported in batch requests."))
	default:
		req.Host, req.TLS, req.RemoteAddr, req.RequestURI = outer.Host, outer.TLS, outer.RemoteAddr, p.target
		for k, v := range outer.Header { // the outer header holds for every part, but for what tells of its body
			if !strings.HasPrefix(k, "Content-") && k != "Accept-Encoding" {
				req.Header[k] = slices.Clone(v)
			}
		}
		maps.Copy(req.Header, p.header)
		next.ServeHTTP(rec, req)
	}
	var b bytes.Buffer
	b.WriteString("Content-Type: application/http\r\n")
	if p.id != "" {
		fmt.Fprintf(&b, "Content-ID: %s\r\n", responseID(p.id))
	}
	status := rec.Status()
	fmt.Fprintf(&b, "\r\nHTTP/1.1 %d %s\r\n", status, http.StatusText(status))
	rec.Header().Set("Content-Length", strconv.Itoa(len(rec.Body)))
	_ = rec.Header().Write(&b) // into memory
	b.WriteString("\r\n")
	b.Write(rec.Body)
	return b.Bytes()
}

// responseID is <item-1> as <response-item-1>.
func responseID(id string) string {
	if inner, ok := strings.CutPrefix(id, "<"); ok {
		return "<response-" + inner
	}
	return "response-" + id
}

func writeBatch(w http.ResponseWriter, answers [][]byte) {
	boundary := "batch_" + uuid.NewString()
	w.Header().Set("Content-Type", "multipart/mixed; boundary="+boundary)
	w.Header().Set("Cache-Control", "private")
	var b bytes.Buffer
	for _, a := range answers {
		fmt.Fprintf(&b, "--%s\r\n", boundary)
		b.Write(a)
		b.WriteString("\r\n")
	}
	fmt.Fprintf(&b, "--%s--\r\n", boundary)
	_, _ = w.Write(b.Bytes()) // the client is gone when this fails
}

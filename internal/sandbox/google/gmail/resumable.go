package gmail

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/postern-mail/postern/internal/sandbox/front"
)

// pieceMultiple is what the length of every piece but the last is a multiple of.
const pieceMultiple = 256 << 10

// sessionLife is how long an upload session may be resumed.
const sessionLife = 7 * 24 * time.Hour

// maxSessions bounds the sessions that are open at once; the oldest go first.
const maxSessions = 1000

// A session is a resumable upload. Its address is its credential.
type session struct {
	id     string
	verb   string // of the method
	target string // path and query of the request that opened it
	header http.Header
	limit  int64
	opened time.Time

	mu        sync.Mutex
	meta      []byte
	mediaType string
	total     int64 // -1: not told yet
	got       []byte
	answer    *front.Held // once it is done
}

// sessions are those of a server.
type sessions struct {
	mu   sync.Mutex
	byID map[string]*session
}

func (ss *sessions) put(s *session) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if ss.byID == nil {
		ss.byID = map[string]*session{}
	}
	maps.DeleteFunc(ss.byID, func(_ string, old *session) bool { return s.opened.Sub(old.opened) > sessionLife })
	if len(ss.byID) >= maxSessions {
		oldest := slices.MinFunc(slices.Collect(maps.Values(ss.byID)), func(a, b *session) int { return a.opened.Compare(b.opened) })
		delete(ss.byID, oldest.id)
	}
	ss.byID[s.id] = s
}

func (ss *sessions) get(id string, now time.Time) *session {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	s := ss.byID[id]
	if s == nil || now.Sub(s.opened) > sessionLife {
		delete(ss.byID, id)
		return nil
	}
	return s
}

func (ss *sessions) drop(id string) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	delete(ss.byID, id)
}

// An upload is a finished session on its way to its method.
type upload struct {
	meta, media []byte
	mediaType   string
}

type uploadKey struct{}

// finishedUpload is the upload that a request ends, if it does.
func finishedUpload(ctx context.Context) *upload {
	u, _ := ctx.Value(uploadKey{}).(*upload)
	return u
}

// openSession answers a request with uploadType=resumable: 200 and the address
// to send the pieces to.
func (c *call) openSession(limit int64) error {
	meta, err := c.read(jsonSlack)
	if err != nil {
		return err
	}
	if err := decodeBody(meta, &map[string]any{}); err != nil {
		return err
	}
	contentType := c.r.Header.Get("X-Upload-Content-Type")
	media, _, _ := mime.ParseMediaType(contentType)
	if contentType != "" && !messageType(media) {
		return errMediaType(contentType)
	}
	total := int64(-1)
	if v := c.r.Header.Get("X-Upload-Content-Length"); v != "" {
		if total, err = strconv.ParseInt(v, 10, 64); err != nil || total < 0 {
			return errInvalid("Invalid X-Upload-Content-Length: %s", clip(v, 40))
		}
	}
	if total > limit {
		return errTooLarge(limit)
	}
	s := &session{
		id: uuid.NewString(), verb: c.r.Method, target: c.r.URL.RequestURI(), header: c.r.Header.Clone(), limit: limit, opened: c.now,
		meta: meta, mediaType: media, total: total,
	}
	c.s.sessions.put(s)
	u := *c.r.URL
	q := u.Query()
	q.Set("upload_id", s.id)
	u.RawQuery, u.Host, u.Scheme = q.Encode(), c.r.Host, "http"
	if c.r.TLS != nil {
		u.Scheme = "https"
	}
	h := c.w.Header()
	h.Set("Location", u.String())
	h.Set("X-GUploader-UploadID", s.id)
	h.Set("Content-Length", "0")
	c.w.WriteHeader(http.StatusOK)
	return nil
}

// servePiece answers what is sent to the address of a session: pieces, queries
// of its state, and its end.
func (s *Server) servePiece(next http.Handler, w http.ResponseWriter, r *http.Request) {
	ses := s.sessions.get(r.URL.Query().Get("upload_id"), s.now())
	if ses == nil {
		plain(w, http.StatusNotFound, "Not Found")
		return
	}
	w.Header().Set("X-GUploader-UploadID", ses.id)
	if r.Header.Get("Authorization") != "" { // not needed, but not to be wrong either
		if _, ok := s.opts.Caller(r); !ok {
			WriteError(w, errUnauthenticated())
			return
		}
	}
	switch r.Method {
	case http.MethodDelete:
		s.sessions.drop(ses.id)
		plain(w, 499, "") // as Google answers a cancelled upload
		return
	case http.MethodPost, http.MethodPut:
	default:
		plain(w, http.StatusMethodNotAllowed, "Method Not Allowed")
		return
	}
	ses.mu.Lock()
	defer ses.mu.Unlock()
	if ses.answer != nil {
		ses.answer.Release(w)
		return
	}
	whole, err := ses.take(w, r)
	var e *Error
	switch {
	case errors.As(err, &e) && e.Code == http.StatusRequestEntityTooLarge:
		s.sessions.drop(ses.id)
		WriteError(w, e)
	case errors.As(err, &e):
		plain(w, e.Code, e.Message)
	case err != nil:
		s.opts.Log.Debug("piece of an upload was cut", "error", err)
		plain(w, http.StatusServiceUnavailable, "Service Unavailable")
	case !whole:
		ses.incomplete(w, r)
	default:
		ses.finish(next, w, r)
	}
}

var contentRange = regexp.MustCompile(`^bytes (?:(\d{1,18})-(\d{1,18})|\*)/(\d{1,18}|\*)$`)

// take adds a piece; whole says that it was the last. What had arrived of a
// piece that was cut is kept, so that the upload resumes there.
func (s *session) take(w http.ResponseWriter, r *http.Request) (whole bool, err error) {
	first, last := int64(0), int64(-1) // last -1: as long as the body is
	if v := r.Header.Get("Content-Range"); v != "" {
		m := contentRange.FindStringSubmatch(v)
		if m == nil {
			return false, errInvalid("Failed to parse Content-Range header.")
		}
		if m[3] != "*" {
			n, _ := strconv.ParseInt(m[3], 10, 64) // at most 18 digits
			if s.total >= 0 && s.total != n {
				return false, errInvalid("Invalid request.  The total size of %d byte(s) contradicts the %d byte(s) told before.", n, s.total)
			}
			if n > s.limit {
				return false, errTooLarge(s.limit)
			}
			s.total = n
		}
		if m[1] == "" { // a query of the state, or the end of what has arrived
			return s.total == int64(len(s.got)), nil
		}
		first, _ = strconv.ParseInt(m[1], 10, 64)
		last, _ = strconv.ParseInt(m[2], 10, 64)
		if last < first || s.total >= 0 && last >= s.total {
			return false, errInvalid("Failed to parse Content-Range header.")
		}
	}
	if have := int64(len(s.got)); first > have {
		return false, errInvalid("Invalid request.  According to the Content-Range header, the upload offset is %d byte(s), which exceeds already uploaded size of %d byte(s).", first, have)
	}
	piece, err := io.ReadAll(http.MaxBytesReader(w, r.Body, s.limit-first+1))
	if n := int64(len(piece)); first+n > s.limit {
		return false, errTooLarge(s.limit)
	}
	final := last < 0 || s.total == last+1
	if err != nil {
		s.keep(first, piece[:len(piece)/pieceMultiple*pieceMultiple])
		return false, fmt.Errorf("read piece: %w", err)
	}
	if n := int64(len(piece)); last >= 0 && n != last-first+1 {
		return false, errInvalid("Invalid request.  There were %d byte(s) in the request body.  There should have been %d byte(s) (starting at offset %d and ending at offset %d) according to the Content-Range header.", n, last-first+1, first, last)
	}
	if n := len(piece); !final && n%pieceMultiple != 0 {
		return false, errInvalid("Invalid request.  The number of bytes uploaded is required to be equal or greater than %d, except for the final request (it's recommended to be the exact multiple of %d).  The received request contained %d bytes, which does not meet this requirement.", pieceMultiple, pieceMultiple, n)
	}
	s.keep(first, piece)
	if last < 0 {
		if s.total >= 0 && s.total != int64(len(s.got)) {
			return false, errInvalid("Invalid request.  There were %d byte(s) in the request body.  There should have been %d byte(s).", len(piece), s.total)
		}
		s.total = int64(len(s.got))
	}
	return final, nil
}

// keep puts a piece behind what is there; what both have stays as it is.
func (s *session) keep(first int64, piece []byte) {
	if skip := int64(len(s.got)) - first; skip < int64(len(piece)) {
		s.got = append(s.got, piece[skip:]...)
	}
}

// incomplete answers that more is to come: 308 or, for clients for whom that
// would be a redirection, 200 with the true status beside it.
func (s *session) incomplete(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	if n := len(s.got); n > 0 {
		h.Set("Range", fmt.Sprintf("bytes=0-%d", n-1))
	}
	h.Set("Content-Length", "0")
	if r.Header.Get("X-GUploader-No-308") == "yes" {
		h.Set("X-Http-Status-Code-Override", "308")
		w.WriteHeader(http.StatusOK)
		return
	}
	w.WriteHeader(http.StatusPermanentRedirect)
}

// finish runs the method. Its answer is kept: whoever asks again, because the
// connection was cut, is told the same and nothing happens twice. A refusal
// that passes leaves the session open.
func (s *session) finish(next http.Handler, w http.ResponseWriter, r *http.Request) {
	ctx := context.WithValue(r.Context(), uploadKey{}, &upload{s.meta, s.got, s.mediaType})
	req, err := http.NewRequestWithContext(ctx, s.verb, s.target, http.NoBody)
	if err != nil { // it was a request's before
		plain(w, http.StatusInternalServerError, "Internal Server Error")
		return
	}
	req.Host, req.TLS, req.RemoteAddr, req.RequestURI, req.Header = r.Host, r.TLS, r.RemoteAddr, s.target, s.header.Clone()
	if a := r.Header.Get("Authorization"); a != "" {
		req.Header.Set("Authorization", a)
	}
	rec := front.Hold()
	next.ServeHTTP(rec, req)
	if code := rec.Status(); !passes(code) {
		s.answer, s.got, s.meta = rec, nil, nil
	}
	rec.Release(w)
}

// plain is how the upload server itself answers.
func plain(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.Copy(w, bytes.NewReader([]byte(text))) // the client is gone when this fails
}

// passes reports whether a refusal may be gone when the client tries again.
func passes(status int) bool {
	return status == http.StatusUnauthorized || status == http.StatusForbidden || status == http.StatusTooManyRequests || status >= 500
}

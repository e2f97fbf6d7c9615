package gmail

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"
)

// A delivery of a message by its own body or by one of Google's upload
// protocols ("Upload attachments" of the Gmail API):
//
//   - no upload: JSON with the message in base64url in a member "raw";
//   - uploadType=media: the message is the body;
//   - uploadType=multipart: multipart/related, JSON and then the message;
//   - uploadType=resumable: JSON opens a session, pieces follow (resumable.go).
type incoming struct {
	meta  []byte // JSON, may be empty
	media []byte // nil where the message is in the JSON
	type_ string // of the media
}

// answered is what a handler returns that has written its answer itself.
type answered struct{}

// jsonSlack is how much JSON may stand around a message.
const jsonSlack = 1 << 20

func errTooLarge(limit int64) *Error {
	return &Error{
		Code: http.StatusRequestEntityTooLarge, Reason: "uploadTooLarge", Message: fmt.Sprintf("Request Entity Too Large: the limit is %d bytes.", limit),
	}
}

func errMediaType(got string) *Error {
	return &Error{
		Code: http.StatusBadRequest, Status: "INVALID_ARGUMENT", Reason: "badContent",
		Message: fmt.Sprintf("Media type '%s' is not supported. Valid media types: [message/*]", got),
	}
}

// incoming reads what a request brings, its message at most limit bytes long.
// With done, the request was answered: it opened a session.
func (c *call) incoming(limit int64) (in incoming, done bool, err error) {
	if u := finishedUpload(c.r.Context()); u != nil {
		return incoming{u.meta, u.media, u.mediaType}, false, nil
	}
	if c.upload == "" {
		in.meta, err = c.read(limit/3*4 + jsonSlack)
		return in, false, err
	}
	contentType := c.r.Header.Get("Content-Type")
	media, params, _ := mime.ParseMediaType(contentType)
	switch kind := c.uploadType(media); kind {
	case "media":
		if in.type_ = media; !messageType(media) {
			return in, false, errMediaType(contentType)
		}
		in.media, err = c.read(limit)
	case "multipart":
		in, err = c.readRelated(media, params["boundary"], limit)
	case "resumable":
		return in, true, c.openSession(limit)
	default:
		err = errInvalid("Invalid upload type: %s", kind)
	}
	return in, false, err
}

// uploadType is what the parameter says or, without it, the body's type.
func (c *call) uploadType(media string) string {
	switch kind := c.query.Get("uploadType"); {
	case kind != "":
		return kind
	case c.query.Get("upload_protocol") == "raw":
		return "media"
	case c.query.Get("upload_protocol") != "":
		return c.query.Get("upload_protocol")
	case media == "multipart/related":
		return "multipart"
	default:
		return "media"
	}
}

// messageType reports whether a type is one that Gmail takes (DISC "accept").
func messageType(media string) bool { return strings.HasPrefix(media, "message/") }

// read reads the body of at most limit bytes.
func (c *call) read(limit int64) ([]byte, error) { return readAll(c.w, c.r, limit) }

func readAll(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return nil, errTooLarge(limit)
	}
	if err != nil {
		return nil, fmt.Errorf("read body: %w", err)
	}
	return b, nil
}

// readRelated takes multipart/related apart (RFC 2387): JSON first.
func (c *call) readRelated(media, boundary string, limit int64) (in incoming, err error) {
	malformed := &Error{Code: http.StatusBadRequest, Status: "INVALID_ARGUMENT", Reason: "parseError", Message: "Malformed multipart body."}
	if media != "multipart/related" || boundary == "" {
		return in, malformed
	}
	body, err := c.read(limit/3*4 + jsonSlack) // the message may be in base64
	if err != nil {
		return in, err
	}
	parts := multipart.NewReader(bytes.NewReader(body), boundary)
	for i := range 3 {
		part, err := parts.NextRawPart()
		if err != nil {
			if i == 2 && errors.Is(err, io.EOF) {
				return in, nil
			}
			return in, malformed
		}
		b, err := io.ReadAll(part)
		if err != nil {
			return in, malformed
		}
		contentType := part.Header.Get("Content-Type")
		kind, _, _ := mime.ParseMediaType(contentType)
		switch i {
		case 0:
			if kind != "application/json" {
				return in, malformed
			}
			in.meta = b
		case 1:
			if in.type_ = kind; !messageType(kind) {
				return in, errMediaType(contentType)
			}
			if strings.EqualFold(strings.TrimSpace(part.Header.Get("Content-Transfer-Encoding")), "base64") {
				if b, err = base64.StdEncoding.DecodeString(string(b)); err != nil { // line ends are skipped
					return in, malformed
				}
			}
			if int64(len(b)) > limit {
				return in, errTooLarge(limit)
			}
			in.media = b
		}
	}
	return in, malformed // a third part
}

// A messageInput is a Message as requests bring one (DISC "Message"); what is
// output only is taken and ignored.
type messageInput struct {
	ID           string          `json:"id"`
	ThreadID     string          `json:"threadId"`
	LabelIDs     []string        `json:"labelIds"`
	Raw          *string         `json:"raw"`
	Snippet      string          `json:"snippet"`
	HistoryID    json.RawMessage `json:"historyId"`
	InternalDate json.RawMessage `json:"internalDate"`
	Payload      json.RawMessage `json:"payload"`
	SizeEstimate json.RawMessage `json:"sizeEstimate"`
	Classes      json.RawMessage `json:"classificationLabelValues"`
}

// bytes are the message that came with in or is in m itself.
func (in incoming) bytes(m *messageInput, limit int64) ([]byte, error) {
	switch {
	case in.media != nil && m != nil && m.Raw != nil && *m.Raw != "":
		return nil, errInvalid("'raw' RFC822 payload message string and a media upload cannot both be given.")
	case in.media != nil:
		return in.media, nil
	case m == nil || m.Raw == nil || *m.Raw == "":
		return nil, errInvalid("'raw' RFC822 payload message string or uploading message via /upload/* URL required")
	}
	raw, err := decodeRaw(*m.Raw)
	if err != nil {
		return nil, errField("raw", "Invalid value at 'message.raw' (TYPE_BYTES), Base64 decoding failed for %q", clip(*m.Raw, 100))
	}
	if int64(len(raw)) > limit {
		return nil, errTooLarge(limit)
	}
	return raw, nil
}

// decodeRaw reads base64 as protocol buffers' JSON does: either alphabet, with
// or without padding.
func decodeRaw(s string) ([]byte, error) {
	s = strings.TrimRight(s, "=")
	if strings.ContainsAny(s, "+/") {
		return base64.RawStdEncoding.DecodeString(s)
	}
	return base64.RawURLEncoding.DecodeString(s)
}

func clip(s string, n int) string {
	if len(s) > n {
		return s[:n] + "..."
	}
	return s
}

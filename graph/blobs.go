package graph

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

// Kinds of blob.
const (
	blobRaw        = "raw"
	blobAttachment = "attachment"
)

// blobURL signs a URL for bytes of a message:
//
//	/blobs/KIND/MESSAGE[/PART]?exp=UNIX_SECONDS&sig=HMAC-SHA256
//
// Its end is rounded up to a minute, so that a page loaded twice asks for the same
// URLs.
func (s *Server) blobURL(kind, message, part string) string {
	exp := strconv.FormatInt(s.opts.Now().Add(s.opts.BlobTTL+time.Minute-1).Truncate(time.Minute).Unix(), 10)
	path := "/blobs/" + kind + "/" + url.PathEscape(message)
	if part != "" {
		path += "/" + url.PathEscape(part)
	}
	return s.opts.BaseURL + path + "?exp=" + exp + "&sig=" + s.sign(kind, message, part, exp)
}

func (s *Server) sign(kind, message, part, exp string) string {
	mac := hmac.New(sha256.New, s.opts.BlobKey)
	for _, field := range []string{"postern blob", kind, message, part, exp} {
		_, _ = io.WriteString(mac, field)
		_, _ = mac.Write([]byte{0})
	}
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// Blobs answers at /blobs/, to GET and HEAD, with range requests. The signature is
// the permission: there is no key to present.
func (s *Server) Blobs() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Content-Security-Policy", "sandbox; default-src 'none'")
		h.Set("Referrer-Policy", "no-referrer")
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			h.Set("Allow", "GET, HEAD")
			s.refuse(w, r, http.StatusMethodNotAllowed, invalid("the methods are GET and HEAD"))
			return
		}
		kind, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/blobs/"), "/")
		message, part, _ := strings.Cut(rest, "/")
		q := r.URL.Query()
		if err := s.checkBlob(kind, message, part, q.Get("exp"), q.Get("sig")); err != nil {
			s.refuse(w, r, http.StatusForbidden, err)
			return
		}
		if err := s.serveBlob(w, r, kind, message, part); err != nil {
			h.Del("Content-Type")
			h.Del("Content-Disposition")
			s.refuse(w, r, blobStatus(err), err)
		}
	})
}

func (s *Server) checkBlob(kind, message, part, exp, sig string) error {
	if !hmac.Equal([]byte(sig), []byte(s.sign(kind, message, part, exp))) {
		return &mail.Error{Kind: mail.KindForbidden, Message: "the link is not one of ours, or was changed"}
	}
	// Signed by us, so it is a number.
	if seconds, err := strconv.ParseInt(exp, 10, 64); err != nil || s.opts.Now().Unix() >= seconds {
		return &mail.Error{Kind: mail.KindForbidden, Message: "the link has expired: ask for a new one"}
	}
	return nil
}

func (s *Server) serveBlob(w http.ResponseWriter, r *http.Request, kind, message, part string) error {
	var (
		body        io.ReadSeekCloser
		modified    time.Time
		name        string
		contentType string
		err         error
	)
	switch kind {
	case blobRaw:
		name, contentType = message+".eml", "message/rfc822"
		body, modified, err = s.services.Bytes.Raw(r.Context(), message)
	case blobAttachment:
		body, name, contentType, err = s.services.Bytes.Attachment(r.Context(), message, part)
	default:
		err = store.ErrNotFound
	}
	if err != nil {
		return err
	}
	defer body.Close()
	if _, _, err := mime.ParseMediaType(contentType); err != nil {
		contentType = "application/octet-stream"
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Disposition", disposition(name))
	w.Header().Set("Cache-Control", "private, max-age=300")
	http.ServeContent(w, r, "", modified, body)
	return nil
}

// disposition is an attachment's Content-Disposition (RFC 6266): a plain name for
// old programs, and the real one in UTF-8.
func disposition(name string) string {
	name = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || strings.ContainsRune(`/\:*?"<>|`, r) || unicode.Is(unicode.Bidi_Control, r) {
			return '_'
		}
		return r
	}, strings.ToValidUTF8(name, "_"))
	name = strings.TrimLeft(strings.TrimSpace(name), ".")
	if runes := []rune(name); len(runes) > 200 {
		name = string(runes[len(runes)-200:]) // the end has the extension
	}
	if name == "" {
		name = "attachment"
	}
	plain := strings.Map(func(r rune) rune {
		if r > '~' || r == '%' {
			return '_'
		}
		return r
	}, name)
	return `attachment; filename="` + plain + `"; filename*=UTF-8''` + encodeExtended(name)
}

// encodeExtended writes an ext-value of RFC 8187, 3.2.
func encodeExtended(s string) string {
	const plain = "!#$&+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; strings.IndexByte(plain, c) >= 0 {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', hex[c>>4], hex[c&15]})
		}
	}
	return b.String()
}

// blobStatus is the HTTP status of an error on the way to bytes.
func blobStatus(err error) int {
	switch {
	case mail.KindOf(err) == mail.KindNotFound, errors.Is(err, store.ErrNotFound):
		return http.StatusNotFound
	case mail.KindOf(err) == mail.KindThrottled:
		return http.StatusTooManyRequests
	case mail.KindOf(err) == mail.KindInternal:
		return http.StatusInternalServerError
	case mail.KindOf(err) == mail.KindTooLarge:
		return http.StatusRequestEntityTooLarge
	}
	return http.StatusServiceUnavailable
}

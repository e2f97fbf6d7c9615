package graph

import (
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// An upload is a large attachment on its way in, piece by piece.
type upload struct {
	id      string
	token   string
	message uint64 // the number that stays
	size    int64
	data    []byte
	att     *attachment
	expires time.Time
	link    string // of the message, for the Location at the end
	busy    bool   // a PUT is being read
}

func (c *call) createUploadSession() (answer, error) {
	m, err := c.targetMessage()
	if err != nil {
		return answer{}, err
	}
	o, err := c.action("attachmentitem")
	if err != nil {
		return answer{}, err
	}
	if isNull(o.values["attachmentitem"]) {
		return answer{}, errInvalidRequest("The parameter 'AttachmentItem' is required.")
	}
	item, err := readObject(o.values["attachmentitem"], "attachmentItem", false)
	if err != nil {
		return answer{}, err
	}
	u := &upload{id: uuid.NewString(), token: uuid.NewString() + uuid.NewString(), message: m.num, att: newAttachment(c.now), expires: c.now.Add(c.s.set.UploadLifetime)}
	if err := u.read(item); err != nil {
		return answer{}, err
	}
	switch {
	case c.s.set.AttachToDraftsOnly && !m.st.draft:
		return answer{}, errDraftOnly("attachments")
	case u.size < c.s.set.SmallAttachmentBytes:
		return answer{}, errSmallAttachment()
	case u.size > c.s.set.LargeAttachmentBytes:
		return answer{}, errLargeAttachment()
	}
	for id, old := range c.mb.uploads {
		if c.now.After(old.expires) {
			delete(c.mb.uploads, id)
		}
	}
	c.mb.uploads[u.id] = u
	u.link = "/Users" + quoteKey(c.mb.user.ID) + "/Messages" + quoteKey(c.itemID(m))
	return created(entity{
		{"@odata.context", c.base + "/v1.0/$metadata#microsoft.graph.uploadSession"},
		{"uploadUrl", c.base + "/upload" + u.link + "/AttachmentSessions" + quoteKey(u.id) + "?authtoken=" + url.QueryEscape(u.token)},
		{"expirationDateTime", u.expires.Format("2006-01-02T15:04:05.0000000Z")},
		{"nextExpectedRanges", []string{"0-"}},
	}), nil
}

func (u *upload) read(item object) (err error) {
	kind := ""
	for _, k := range item.keys {
		v := item.values[k]
		switch k {
		case "attachmentType":
			kind, err = readString(v)
		case "name":
			u.att.name, err = readString(v)
		case "size":
			u.size, err = read[int64](v, "Edm.Int64")
		case "contentType":
			u.att.ctype, err = readString(v)
		case "isInline":
			u.att.inline, err = readBool(v)
		case "contentId":
			u.att.cid, err = readString(v)
			u.att.cid = strings.Trim(oneLine(u.att.cid), "<>")
		default:
			if !strings.HasPrefix(k, "@") {
				return errUnknownProperty(k, "attachmentItem")
			}
		}
		if err != nil {
			return err
		}
	}
	if !strings.EqualFold(kind, "file") {
		return errInvalidRequest("The attachment type must be 'file'.")
	}
	if u.att.name = oneLine(u.att.name); u.att.name == "" {
		return errInvalidRequest("The attachment's name is missing.")
	}
	if u.att.ctype == "" {
		u.att.ctype = "application/octet-stream"
	}
	return nil
}

var sessionPattern = regexp.MustCompile(`(?i)^/upload/Users\('([^']+)'\)/Messages\('[^']+'\)/AttachmentSessions\('([^']+)'\)$`)

// UploadHandler answers at the addresses that createUploadSession gives out,
// below /upload/. The address is the credential: a request with Authorization
// is refused, as the documentation forbids it.
func (s *Server) UploadHandler() http.Handler {
	return s.Envelope(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a, err := s.upload(r)
		if err != nil {
			s.WriteError(w, r, err)
			return
		}
		s.write(w, a)
	}))
}

func errNoSession() error {
	return &Error{Status: 404, Code: "ErrorItemNotFound", Message: "The upload session was not found."}
}

func (s *Server) upload(r *http.Request) (answer, error) {
	if r.Header.Get("Authorization") != "" && s.set.UploadRefusesAuthorization {
		return answer{}, &Error{Status: 401, Code: "InvalidAuthenticationToken", Message: "The upload URL is pre-authenticated and does not take an Authorization header."}
	}
	match := sessionPattern.FindStringSubmatch(r.URL.Path)
	if match == nil {
		return answer{}, errNoSession()
	}
	mb := s.mailbox(match[1])
	if mb == nil {
		return answer{}, errNoSession()
	}
	find := func() (*upload, error) { // with mb locked
		u := mb.uploads[match[2]]
		if u == nil || s.now().After(u.expires) || subtle.ConstantTimeCompare([]byte(u.token), []byte(r.URL.Query().Get("authtoken"))) != 1 {
			return nil, errNoSession()
		}
		return u, nil
	}
	switch r.Method {
	case http.MethodDelete:
		return noContent(), s.locked(mb, func() error {
			u, err := find()
			if err == nil {
				delete(mb.uploads, u.id)
			}
			return err
		})
	case http.MethodPut:
		return s.putRange(mb, r, find)
	}
	return answer{}, errMethod()
}

func (s *Server) putRange(mb *mailbox, r *http.Request, find func() (*upload, error)) (answer, error) {
	first, last, total, err := parseRange(r.Header.Get("Content-Range"))
	if err != nil {
		return answer{}, err
	}
	if last-first+1 > s.set.UploadChunkBytes {
		return answer{}, errBodyTooLarge(s.set.OversizeStatus)
	}
	err = s.locked(mb, func() error {
		u, err := find()
		switch {
		case err != nil:
			return err
		case u.busy:
			return &Error{Status: 409, Code: "ErrorIrresolvableConflict", Message: "Another range of this session is being uploaded."}
		case total != u.size || last >= total:
			return errInvalidRequest("The Content-Range header does not fit the size of the session.")
		case first != int64(len(u.data)):
			return &Error{Status: 416, Code: "InvalidRange", Message: fmt.Sprintf("The range is not the expected one; the next begins at %d.", len(u.data))}
		}
		u.busy = true
		return nil
	})
	if err != nil {
		return answer{}, err
	}
	// Without the lock: a range arrives as slowly as the network is. A broken
	// one leaves no trace.
	chunk := make([]byte, last-first+1)
	_, readErr := io.ReadFull(r.Body, chunk)
	var extra [1]byte
	if n, _ := r.Body.Read(extra[:]); readErr == nil && n > 0 {
		readErr = errors.New("more than the range")
	}
	var a answer
	err = s.locked(mb, func() error {
		u, err := find()
		if err != nil {
			return err
		}
		u.busy = false
		if readErr != nil {
			return errInvalidRequest("The length of the body does not fit the Content-Range header.")
		}
		u.data = append(u.data, chunk...)
		if int64(len(u.data)) < u.size {
			a = ok(entity{
				{"@odata.context", s.baseURL(r) + "/v1.0/$metadata#AttachmentSessions/$entity"},
				{"ExpirationDateTime", u.expires.Format("2006-01-02T15:04:05.0000000Z")},
				{"NextExpectedRanges", []string{strconv.Itoa(len(u.data))}},
			})
			return nil
		}
		a, err = s.finishUpload(mb, u, r)
		return err
	})
	return a, err
}

func (s *Server) finishUpload(mb *mailbox, u *upload, r *http.Request) (answer, error) {
	delete(mb.uploads, u.id)
	m := mb.byNum[u.message]
	if m == nil || s.set.AttachToDraftsOnly && !m.st.draft {
		return answer{}, errItemNotFound()
	}
	u.att.data = u.data
	c := &call{s: s, r: r, mb: mb, now: s.now()}
	c.addAttachment(m, u.att)
	id := attachmentID(c.messageEnvelope(m.num, m.folder.num, m.mid), u.att.key)
	a := answer{status: http.StatusCreated, header: http.Header{"Location": {s.baseURL(r) + "/api/v2.0" + u.link + "/Attachments" + quoteKey(id)}}}
	return a, nil
}

var rangePattern = regexp.MustCompile(`^bytes (\d{1,18})-(\d{1,18})/(\d{1,18})$`)

func parseRange(s string) (first, last, total int64, err error) {
	m := rangePattern.FindStringSubmatch(strings.TrimSpace(s))
	if m == nil {
		return 0, 0, 0, errInvalidRequest("The Content-Range header is missing or malformed.")
	}
	for i, n := range []*int64{&first, &last, &total} {
		if *n, err = json.Number(m[i+1]).Int64(); err != nil {
			return 0, 0, 0, errInvalidRequest("The Content-Range header is malformed.")
		}
	}
	if last < first {
		return 0, 0, 0, errInvalidRequest("The Content-Range header is malformed.")
	}
	return first, last, total, nil
}

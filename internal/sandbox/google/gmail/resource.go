package gmail

import (
	"bytes"
	"encoding/base64"
	"slices"
	"strconv"
	"strings"

	"github.com/postern-mail/postern/internal/sandbox/mimetree"
)

// The formats of a message.
const (
	formatMinimal  = "minimal"
	formatMetadata = "metadata"
	formatFull     = "full"
	formatRaw      = "raw"
)

// A messageResource is a message as the API shows it: int64 are strings, and
// what is empty is absent.
type messageResource struct {
	ID           string        `json:"id,omitempty"`
	ThreadID     string        `json:"threadId,omitempty"`
	LabelIDs     []string      `json:"labelIds,omitempty"`
	Snippet      string        `json:"snippet,omitempty"`
	Payload      *partResource `json:"payload,omitempty"`
	SizeEstimate int           `json:"sizeEstimate,omitempty"`
	HistoryID    uint64        `json:"historyId,omitempty,string"`
	InternalDate int64         `json:"internalDate,omitempty,string"`
	Raw          string        `json:"raw,omitempty"`
}

// A partResource is a MessagePart. In the metadata format it has no partId,
// filename and body; a nil pointer leaves them out.
type partResource struct {
	PartID   *string          `json:"partId,omitempty"`
	MimeType string           `json:"mimeType,omitempty"`
	Filename *string          `json:"filename,omitempty"`
	Headers  []headerResource `json:"headers,omitempty"`
	Body     *bodyResource    `json:"body,omitempty"`
	Parts    []*partResource  `json:"parts,omitempty"`
}

type headerResource struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// A bodyResource has its data or the id of an attachment. Size is of the
// decoded bytes; text is shown as UTF-8, so that data may be longer.
type bodyResource struct {
	AttachmentID string `json:"attachmentId,omitempty"`
	Size         int    `json:"size"`
	Data         string `json:"data,omitempty"`
}

// reference is a message as lists and the answers of changes tell it.
func reference(m *Message, labels bool) *messageResource {
	r := &messageResource{ID: m.ID, ThreadID: m.ThreadID}
	if labels {
		r.LabelIDs = m.LabelIDs
	}
	return r
}

// resource shows a message in a format. It needs the mailbox's lock for labels
// and history id only: use snapshot to be rid of it before.
func (s *Server) resource(m *Message, format string, only []string) *messageResource {
	r := reference(m, true)
	c := m.content()
	r.HistoryID, r.InternalDate = m.HistoryID, m.InternalDate.UnixMilli()
	r.SizeEstimate = estimate(m.Raw)
	r.Snippet = c.snippet()
	switch format {
	case formatRaw:
		r.Raw = base64.URLEncoding.EncodeToString(m.Raw)
	case formatMetadata:
		r.Payload = &partResource{MimeType: c.root().Type, Headers: headers(c.header, c.charset, only)}
	case formatFull:
		r.Payload = s.part(m.ID, "", c.root(), c.charset, 0)
	}
	return r
}

// snapshot is a message as it is now, to be shown without the lock.
func snapshot(m *Message) *Message {
	return &Message{
		ID: m.ID, ThreadID: m.ThreadID, LabelIDs: m.LabelIDs, InternalDate: m.InternalDate, HistoryID: m.HistoryID, Raw: m.Raw,
		parsed: m.content(),
	}
}

// estimate is a size that is near the message's and never the same: line ends
// count once.
func estimate(raw []byte) int {
	if n := len(raw) - bytes.Count(raw, []byte("\r\n")); n != len(raw) {
		return n
	}
	return len(raw) + 1
}

// headers shows the fields in order, decoded and unfolded; only narrows them
// to some names.
func headers(h mimetree.Header, charset string, only []string) []headerResource {
	var out []headerResource
	for _, f := range h {
		if len(only) > 0 && !slices.ContainsFunc(only, func(n string) bool { return strings.EqualFold(n, f.Name) }) {
			continue
		}
		out = append(out, headerResource{f.Name, strings.ToValidUTF8(mimetree.DecodeWords(string(f.Value), charset), "\uFFFD")})
	}
	return out
}

// maxNested bounds messages inside messages.
const maxNested = 8

// part shows a part with its children. The id of a part is its place: the root
// has none, its children are 0, 1, ..., theirs 0.0, 0.1, ...
func (s *Server) part(message, id string, p *mimetree.Part, charset string, nested int) *partResource {
	name := strings.ToValidUTF8(p.Filename, "\uFFFD")
	r := &partResource{PartID: &id, MimeType: p.Type, Filename: &name, Headers: headers(p.Header, charset, nil), Body: &bodyResource{}}
	for i, child := range children(p, nested) {
		depth := nested
		if len(p.Parts) == 0 {
			depth++
		}
		r.Parts = append(r.Parts, s.part(message, childID(id, i), child, charset, depth))
	}
	if len(p.Parts) > 0 {
		return r
	}
	decoded := p.Decoded()
	r.Body.Size = len(decoded)
	switch {
	case len(decoded) == 0:
	case isBody(p):
		r.Body.Data = base64.URLEncoding.EncodeToString([]byte(p.Text()))
	default:
		r.Body.AttachmentID = s.attachmentID(message, id)
	}
	return r
}

// children are the parts inside a part; an attached message has one, itself.
func children(p *mimetree.Part, nested int) []*mimetree.Part {
	if p.Type == "message/rfc822" && len(p.Parts) == 0 && nested < maxNested {
		return []*mimetree.Part{mimetree.Parse(p.Decoded())}
	}
	return p.Parts
}

func childID(parent string, i int) string {
	if parent == "" {
		return strconv.Itoa(i)
	}
	return parent + "." + strconv.Itoa(i)
}

// findPart finds a part by its place.
func findPart(p *mimetree.Part, id string) *mimetree.Part {
	nested := 0
	for place := range strings.SplitSeq(id, ".") {
		if id == "" {
			break
		}
		i, err := strconv.Atoi(place)
		kids := children(p, nested)
		if err != nil || i < 0 || i >= len(kids) {
			return nil
		}
		if len(p.Parts) == 0 {
			nested++
		}
		p = kids[i]
	}
	return p
}

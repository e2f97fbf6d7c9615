package gmail

import (
	"encoding/base64"
	"slices"
)

// getProfile tells whose mailbox it is and where its history stands.
func (s *Server) getProfile(c *call) (any, error) {
	var out struct {
		EmailAddress  string `json:"emailAddress"`
		MessagesTotal int    `json:"messagesTotal"`
		ThreadsTotal  int    `json:"threadsTotal"`
		HistoryID     uint64 `json:"historyId,string"`
	}
	err := c.locked(func() error {
		out.EmailAddress = c.mb.user.Address
		out.MessagesTotal, out.ThreadsTotal, out.HistoryID = len(c.mb.order), len(c.mb.threads), c.mb.history
		return nil
	})
	return out, err
}

// selection is the filter of a list: labelIds, q and includeSpamTrash. It is
// made and used with the mailbox locked.
func (c *call) selection() (func(*Message) bool, error) {
	q := c.query.Get("q")
	if q != "" && c.metadataOnly() {
		return nil, errForbidden("Metadata scope does not support 'q' parameter")
	}
	labels := c.query["labelIds"]
	if err := c.mb.checkLabels(labels); err != nil {
		return nil, err
	}
	search := parseQuery(q)
	hidden := !c.flag("includeSpamTrash") && !search.anywhere
	spam := hidden && !slices.Contains(labels, labelSpam)
	trash := hidden && !slices.Contains(labels, labelTrash)
	look := &looker{mb: c.mb, now: c.now}
	return func(m *Message) bool {
		if spam && m.has(labelSpam) || trash && m.has(labelTrash) {
			return false
		}
		for _, l := range labels {
			if !m.has(l) {
				return false
			}
		}
		return search.matches(look, m)
	}, nil
}

// metadataOnly reports whether the token may see no more than metadata. A token
// that has another scope of the method beside it may.
func (c *call) metadataOnly() bool {
	return !slices.ContainsFunc(c.method.scopes, func(s string) bool {
		return s != scopeMetadata && s != scopeAddonMetadata && c.allows(s)
	})
}

// manyResults is the estimate of a list that goes on.
const manyResults = 201

func (s *Server) listMessages(c *call) (any, error) {
	var out struct {
		Messages           []*messageResource `json:"messages,omitempty"`
		NextPageToken      string             `json:"nextPageToken,omitempty"`
		ResultSizeEstimate int                `json:"resultSizeEstimate"`
	}
	err := c.locked(func() error {
		keep, err := c.selection()
		if err != nil {
			return err
		}
		page, next, err := c.page("messages", c.mb.list(keep))
		if err != nil {
			return err
		}
		for _, m := range page {
			out.Messages = append(out.Messages, reference(m, false))
		}
		if out.NextPageToken, out.ResultSizeEstimate = next, len(page); next != "" {
			out.ResultSizeEstimate = manyResults
		}
		return nil
	})
	return out, err
}

// format is the wanted format; a token for metadata alone sees no more.
func (c *call) format() (string, error) {
	f := c.query.Get("format")
	if f == "" {
		f = formatFull
	}
	if c.metadataOnly() && (f == formatFull || f == formatRaw) {
		return "", errForbidden("Metadata scope doesn't allow format " + map[string]string{formatFull: "FULL", formatRaw: "RAW"}[f])
	}
	return f, nil
}

func (s *Server) getMessage(c *call) (any, error) {
	return c.show(func() (*Message, error) { return c.mb.get(c.path["id"]) })
}

// show gives the message that find finds, in the wanted format. find runs with
// the mailbox locked, what is shown is made without.
func (c *call) show(find func() (*Message, error)) (*messageResource, error) {
	format, err := c.format()
	if err != nil {
		return nil, err
	}
	var m *Message
	err = c.locked(func() error {
		found, err := find()
		if err == nil {
			m = snapshot(found)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return c.s.resource(m, format, c.query["metadataHeaders"]), nil
}

func (s *Server) getAttachment(c *call) (any, error) {
	var m *Message
	if err := c.locked(func() (err error) {
		m, err = c.mb.get(c.path["messageId"])
		return err
	}); err != nil {
		return nil, err
	}
	place, err := s.readAttachmentID(m.ID, c.path["id"])
	if err != nil {
		return nil, err
	}
	p := findPart(m.content().root(), place)
	if p == nil { // the id was given for this message, which does not change
		return nil, errNotFound()
	}
	b := p.Decoded()
	return bodyResource{Size: len(b), Data: base64.URLEncoding.EncodeToString(b)}, nil
}

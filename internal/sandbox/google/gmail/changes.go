package gmail

import (
	"slices"
	"strconv"
	"time"
)

// A historyResource is one record as the API shows it.
type historyResource struct {
	ID              uint64             `json:"id,string"`
	Messages        []*messageResource `json:"messages,omitempty"`
	MessagesAdded   []historyEntry     `json:"messagesAdded,omitempty"`
	MessagesDeleted []historyEntry     `json:"messagesDeleted,omitempty"`
	LabelsAdded     []historyEntry     `json:"labelsAdded,omitempty"`
	LabelsRemoved   []historyEntry     `json:"labelsRemoved,omitempty"`
}

type historyEntry struct {
	Message  *messageResource `json:"message"`
	LabelIDs []string         `json:"labelIds,omitempty"`
}

// listHistory tells what changed after a history id. A page is counted in
// records before historyTypes and labelId narrow them: it can be empty and have
// a next page.
func (s *Server) listHistory(c *call) (any, error) {
	if c.query.Get("startHistoryId") == "" {
		return nil, errInvalid("Missing/invalid parameter: startHistoryId")
	}
	start, _ := strconv.ParseUint(c.query.Get("startHistoryId"), 10, 64) // checked
	position, err := readPageToken("history", c.query.Get("pageToken"))
	if err != nil {
		return nil, err
	}
	var out struct {
		History       []*historyResource `json:"history,omitempty"`
		NextPageToken string             `json:"nextPageToken,omitempty"`
		HistoryID     uint64             `json:"historyId,string"`
	}
	types, label := c.query["historyTypes"], c.query.Get("labelId")
	err = c.locked(func() error {
		if label != "" {
			if err := c.mb.checkLabels([]string{label}); err != nil {
				return err
			}
		}
		recs, upto, err := c.mb.since(start, time.Duration(s.lag.Load()), c.now)
		if err != nil {
			return err
		}
		out.HistoryID = upto
		if position == "" && s.set.EmptyHistoryPages && len(recs) > 0 {
			out.NextPageToken = pageToken("history", strconv.FormatUint(start, 10))
			return nil
		}
		if position != "" {
			from, err := strconv.ParseUint(position, 10, 64)
			if err != nil {
				return errInvalid("Invalid pageToken")
			}
			recs = slices.DeleteFunc(recs, func(r record) bool { return r.ID <= from })
		}
		if n := c.limit(100, 500); len(recs) > n {
			recs = recs[:n]
			out.NextPageToken = pageToken("history", strconv.FormatUint(recs[n-1].ID, 10))
		}
		for _, r := range recs {
			if h := r.show(types, label); h != nil {
				out.History = append(out.History, h)
			}
		}
		return nil
	})
	return out, err
}

// show is a record as the API shows it; nil when the filter leaves nothing.
func (r record) show(types []string, label string) *historyResource {
	if label != "" && !slices.Contains(r.Labels, label) && !slices.Contains(r.LabelsRemoved, label) {
		return nil
	}
	wanted := func(t string) bool { return len(types) == 0 || slices.Contains(types, t) }
	full := &messageResource{ID: r.Message, ThreadID: r.Thread, LabelIDs: r.Labels}
	h := &historyResource{ID: r.ID, Messages: []*messageResource{{ID: r.Message, ThreadID: r.Thread}}}
	if r.Added && wanted("messageAdded") {
		h.MessagesAdded = []historyEntry{{Message: full}}
	}
	if r.Deleted && wanted("messageDeleted") {
		h.MessagesDeleted = []historyEntry{{Message: full}}
	}
	if len(r.LabelsAdded) > 0 && wanted("labelAdded") {
		h.LabelsAdded = []historyEntry{{Message: full, LabelIDs: r.LabelsAdded}}
	}
	if len(r.LabelsRemoved) > 0 && wanted("labelRemoved") {
		h.LabelsRemoved = []historyEntry{{Message: full, LabelIDs: r.LabelsRemoved}}
	}
	if h.MessagesAdded == nil && h.MessagesDeleted == nil && h.LabelsAdded == nil && h.LabelsRemoved == nil {
		return nil
	}
	return h
}

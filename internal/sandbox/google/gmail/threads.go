package gmail

// A threadResource is a thread as the API shows it.
type threadResource struct {
	ID        string             `json:"id,omitempty"`
	Snippet   string             `json:"snippet,omitempty"`
	HistoryID uint64             `json:"historyId,omitempty,string"`
	Messages  []*messageResource `json:"messages,omitempty"`
}

// listThreads lists the threads that have a message which fits all of the
// filter, by the newest such message.
func (s *Server) listThreads(c *call) (any, error) {
	var out struct {
		Threads            []*threadResource `json:"threads,omitempty"`
		NextPageToken      string            `json:"nextPageToken,omitempty"`
		ResultSizeEstimate int               `json:"resultSizeEstimate"`
	}
	err := c.locked(func() error {
		keep, err := c.selection()
		if err != nil {
			return err
		}
		seen := map[string]bool{}
		page, next, err := c.page("threads", c.mb.list(func(m *Message) bool {
			if seen[m.ThreadID] || !keep(m) {
				return false
			}
			seen[m.ThreadID] = true
			return true
		}))
		if err != nil {
			return err
		}
		for _, m := range page {
			ms := c.mb.threads[m.ThreadID]
			out.Threads = append(out.Threads, &threadResource{ID: m.ThreadID, Snippet: m.content().snippet(), HistoryID: threadHistory(ms)})
		}
		if out.NextPageToken, out.ResultSizeEstimate = next, len(page); next != "" {
			out.ResultSizeEstimate = manyResults
		}
		return nil
	})
	return out, err
}

func (s *Server) getThread(c *call) (any, error) {
	format, err := c.format()
	if err != nil {
		return nil, err
	}
	out := &threadResource{ID: c.path["id"]}
	var ms []*Message
	err = c.locked(func() error {
		found, err := c.mb.thread(out.ID)
		out.HistoryID = threadHistory(found)
		for _, m := range found {
			ms = append(ms, snapshot(m))
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, m := range ms {
		out.Messages = append(out.Messages, s.resource(m, format, c.query["metadataHeaders"]))
	}
	return out, nil
}

// changeThread changes every message of the thread that the path names and
// answers with their labels.
func (c *call) changeThread(check func() error, f func(*Message)) (any, error) {
	out := &threadResource{ID: c.path["id"]}
	err := c.locked(func() error {
		ms, err := c.mb.thread(out.ID)
		if err == nil && check != nil {
			err = check()
		}
		if err != nil {
			return err
		}
		for _, m := range ms {
			f(m)
			out.Messages = append(out.Messages, reference(m, true))
		}
		out.HistoryID = threadHistory(ms)
		return nil
	})
	return out, err
}

func (s *Server) modifyThread(c *call) (any, error) {
	ch, err := c.readChange(false)
	if err != nil {
		return nil, err
	}
	return c.changeThread(func() error { return ch.check(c.mb) }, func(m *Message) {
		c.mb.relabel(m, ch.AddLabelIDs, ch.RemoveLabelIDs, c.now)
	})
}

func (s *Server) trashThread(c *call) (any, error) {
	return c.changeThread(nil, func(m *Message) { c.mb.toTrash(m, c.now) })
}

func (s *Server) untrashThread(c *call) (any, error) {
	return c.changeThread(nil, func(m *Message) { c.mb.fromTrash(m, c.now) })
}

func (s *Server) deleteThread(c *call) (any, error) {
	_, err := c.changeThread(nil, func(m *Message) { c.mb.remove(m, c.now) })
	return nil, err
}

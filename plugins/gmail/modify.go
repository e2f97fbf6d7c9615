package gmail

import (
	"context"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"
	gmailapi "google.golang.org/api/gmail/v1"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/pace"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

const (
	// modifyOneByOne is up to how many messages are changed each by itself: so
	// many cost no more than a batch, and tell their state.
	modifyOneByOne = 10
	// modifyBatch is how many messages one batch changes at most.
	modifyBatch = 1000
	// confirmPages bounds the pages of history that a batch is looked up in.
	confirmPages = 20
)

// Modify changes labels. All messages get the same change.
func (p *Provider) Modify(ctx context.Context, req *provider.ModifyRequest) (*provider.ModifyResponse, error) {
	ctx, c, done, err := p.begin(ctx, req.Call, "modify messages")
	if err != nil {
		return nil, err
	}
	defer done()
	r, err := c.conf.relabelling(c.op, req)
	if err != nil {
		return nil, err
	}
	return c.relabel(ctx, req.IDs, r)
}

// Copy has messages join a mailbox: the copy is the message itself, under one
// more label. Trash and Spam are no places to be in beside others.
func (p *Provider) Copy(ctx context.Context, req *provider.CopyRequest) (*provider.ModifyResponse, error) {
	ctx, c, done, err := p.begin(ctx, req.Call, "copy messages")
	if err != nil {
		return nil, err
	}
	defer done()
	if req.Mailbox == labelTrash || req.Mailbox == labelSpam {
		return nil, &mail.Error{Kind: mail.KindInvalid, Op: c.op, Code: "no_copy", Message: "a message in " + req.Mailbox + " is in no other mailbox: move it"}
	}
	join := &provider.ModifyRequest{AddMailboxes: []string{req.Mailbox}}
	r, err := c.conf.relabelling(c.op, join)
	if err != nil {
		return nil, err
	}
	return c.relabel(ctx, req.IDs, r)
}

// Delete moves messages to the trash.
func (p *Provider) Delete(ctx context.Context, req *provider.DeleteRequest) (*provider.ModifyResponse, error) {
	ctx, c, done, err := p.begin(ctx, req.Call, "delete messages")
	if err != nil {
		return nil, err
	}
	defer done()
	return c.relabel(ctx, req.IDs, &relabelling{add: []string{labelTrash}, remove: []string{labelInbox, labelSpam}})
}

// work is a list of messages and how far each has come.
type work struct {
	ids     []string
	results []provider.Result

	mu sync.Mutex
	// ended is why the rest of the messages had no turn.
	ended error
}

func newWork(ids []string) *work {
	w := &work{ids: ids, results: make([]provider.Result, len(ids))}
	for i, id := range ids {
		w.results[i].ID = id
	}
	return w
}

// response gives the results. Where nothing was done at all the call has failed
// as a whole.
func (w *work) response() (*provider.ModifyResponse, error) {
	if w.ended != nil && !slices.ContainsFunc(w.results, func(r provider.Result) bool { return r.Err == nil }) {
		return nil, w.ended
	}
	return &provider.ModifyResponse{Results: w.results}, nil
}

func (w *work) end(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended == nil {
		w.ended = err
	}
}

func (w *work) over() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ended
}

// each does something to some of the messages, a few at a time, which must be
// such that doing it again does no harm. What is wrong with one of them is its
// own; an error of the account's gives the rest up, also those that wait for
// their turn, which a quota may keep for long, and they all have that error.
func (c *call) each(ctx context.Context, w *work, which []int, do func(ctx context.Context, i int) error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var g errgroup.Group
	g.SetLimit(max(1, c.conf.maxConcurrent))
	for _, i := range which {
		g.Go(func() error {
			err := w.over()
			if err == nil {
				err = do(ctx, i)
			}
			if err != nil && (endsCall(err) || ctx.Err() != nil) {
				w.end(err)
				cancel()
				err = w.over()
			}
			w.results[i].Err = err
			return nil
		})
	}
	_ = g.Wait() // what is wrong is with the results
}

func all(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

// relabel carries a change out. Many messages are changed by batches, which say
// nothing of any of them: the history tells which did change. Those of which it
// says nothing were so before, or are gone, and are changed once more by
// themselves, which does no harm, and tells.
func (c *call) relabel(ctx context.Context, ids []string, r *relabelling) (*provider.ModifyResponse, error) {
	w := newWork(ids)
	switch {
	case r.empty():
		c.readStates(ctx, w)
	case len(ids) <= modifyOneByOne:
		c.modifyEach(ctx, w, all(len(ids)), r)
	default:
		c.modifyEach(ctx, w, c.modifyBatches(ctx, w, r), r)
	}
	return w.response()
}

func (c *call) readStates(ctx context.Context, w *work) {
	err := c.read(ctx, w.ids, stateFields, func(i int, g *gmailapi.Message, err error) error {
		if w.results[i].Err = err; err == nil {
			w.results[i].Message, w.results[i].Fields = c.conf.stateOf(g.Id, g.ThreadId, g.LabelIds, g.HistoryId)
		}
		return nil
	})
	if err != nil {
		w.end(err)
		for i := range w.results {
			w.results[i].Err = err
		}
	}
}

func (c *call) modifyEach(ctx context.Context, w *work, which []int, r *relabelling) {
	req := &gmailapi.ModifyMessageRequest{AddLabelIds: r.add, RemoveLabelIds: r.remove}
	c.each(ctx, w, which, func(ctx context.Context, i int) error {
		var g *gmailapi.Message
		err := c.do(ctx, messagesModify, func(ctx context.Context, s *gmailapi.Service) (err error) {
			g, err = s.Users.Messages.Modify("me", w.ids[i], req).Fields("id,threadId,labelIds").Context(ctx).Do()
			return err
		})
		if err == nil && g.Id != w.ids[i] {
			err = badAnswer(c.op, "Gmail's answer is not the message that was changed")
		}
		if err == nil {
			w.results[i].Message, w.results[i].Fields = c.conf.stateOf(g.Id, g.ThreadId, g.LabelIds, g.HistoryId)
		}
		return err
	})
}

// modifyBatches changes messages by batches, files the results that the history
// confirms, and gives the messages of which it says nothing.
func (c *call) modifyBatches(ctx context.Context, w *work, r *relabelling) (open []int) {
	profile, err := c.profile(ctx)
	if err != nil {
		w.end(err)
		return all(len(w.ids)) // which ends them
	}
	index := make(map[string]int, len(w.ids))
	for i, id := range w.ids {
		index[id] = i
	}
	batched := map[string]bool{}
	for chunk := range slices.Chunk(w.ids, modifyBatch) {
		req := &gmailapi.BatchModifyMessagesRequest{Ids: chunk, AddLabelIds: r.add, RemoveLabelIds: r.remove}
		err := c.do(ctx, messagesBatchModify, func(ctx context.Context, s *gmailapi.Service) error {
			return s.Users.Messages.BatchModify("me", req).Context(ctx).Do()
		})
		if err != nil && endsCall(err) {
			w.end(err)
			break
		}
		if err == nil { // else one of them is bad, and each is asked for itself
			for _, id := range chunk {
				batched[id] = true
			}
		}
	}
	confirmed := map[string]bool{}
	// A history that is not to be had only costs the requests that it would save.
	_, _ = c.since(ctx, profile.HistoryId, func(h *gmailapi.History) {
		for _, m := range labelled(h) {
			if i, ours := index[m.Id]; ours && batched[m.Id] && r.holds(m.LabelIds) {
				confirmed[m.Id] = true
				w.results[i].Message, w.results[i].Fields = c.conf.stateOf(m.Id, m.ThreadId, m.LabelIds, h.Id)
			}
		}
	})
	for i, id := range w.ids {
		if !confirmed[id] || index[id] != i {
			open = append(open, i)
		}
	}
	return open
}

// labelled are the messages of a record whose labels have changed.
func labelled(h *gmailapi.History) (out []*gmailapi.Message) {
	for _, e := range h.LabelsAdded {
		out = append(out, e.Message)
	}
	for _, e := range h.LabelsRemoved {
		out = append(out, e.Message)
	}
	return slices.DeleteFunc(out, func(m *gmailapi.Message) bool { return m == nil || m.LabelIds == nil })
}

// since gives what the history says since a moment, and whether it said all:
// more than some pages are not read. The error is that of reading it.
func (c *call) since(ctx context.Context, from uint64, each func(*gmailapi.History)) (complete bool, err error) {
	var trail pace.Trail
	token := ""
	for range confirmPages {
		var page *gmailapi.ListHistoryResponse
		err := c.do(ctx, historyList, func(ctx context.Context, s *gmailapi.Service) (err error) {
			page, err = s.Users.History.List("me").StartHistoryId(from).MaxResults(historyPage).PageToken(token).Context(ctx).Do()
			return err
		})
		if err != nil {
			return false, err
		}
		for _, h := range page.History {
			each(h)
		}
		if token = page.NextPageToken; token == "" {
			return true, nil
		}
		if err := trail.Follow(c.op, token, len(page.History)); err != nil {
			return false, err
		}
	}
	return false, nil
}

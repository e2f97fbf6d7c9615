package msgraph

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/pace"
)

const (
	// BatchSize is the most items that one $batch takes.
	BatchSize = 20
	// batchRounds is how often the items that were refused are sent again. Of
	// twenty items against one mailbox four run at once, so that a refusal of
	// the others is the normal case.
	batchRounds = 12
)

// Item is one request inside a batch.
type Item struct {
	Method string
	// Path is below the version, with its query: "/me/messages/x?$select=id".
	Path    string
	Prefer  []string
	IfMatch string
	Body    any
	// Once marks an item that must not be repeated when it may have been
	// carried out already.
	Once bool
}

// Answer is what became of an item.
type Answer struct {
	Status int
	Body   json.RawMessage
	Err    error
}

// Decode reads the answer's body.
func (a *Answer) Decode(op string, out any) error {
	if a.Err != nil {
		return a.Err
	}
	if err := decode(a.Body, out); err != nil {
		return &mail.Error{Kind: mail.KindUnavailable, Op: op, Code: "bad_answer", Message: "the provider's answer cannot be read"}
	}
	return nil
}

// Batch sends items by $batch, twenty at a time, and those that Graph was too
// busy for again, alone. The answers are in the order of the items. The error
// is that of a batch as a whole, which ends the call: items that it left
// undone carry it too.
func (c *Client) Batch(ctx context.Context, op string, p pace.Priority, items []Item) ([]Answer, error) {
	answers := make([]Answer, len(items))
	for start := 0; start < len(items); start += BatchSize {
		end := min(start+BatchSize, len(items))
		if err := c.batch(ctx, op, p, items[start:end], answers[start:end]); err != nil {
			for i := end; i < len(items); i++ {
				answers[i].Err = err
			}
			return answers, err
		}
	}
	return answers, nil
}

// batch settles at most BatchSize items.
func (c *Client) batch(ctx context.Context, op string, p pace.Priority, items []Item, answers []Answer) error {
	pending := make([]int, len(items))
	for i := range pending {
		pending[i] = i
	}
	renewed := false
	for round := 1; ; round++ {
		token, err := c.o.Tokens.Token(ctx)
		if err == nil {
			err = c.batchOnce(ctx, op, p, items, pending, answers)
		}
		if err != nil {
			return failBatch(ctx, err, items, pending, answers)
		}
		var again []int
		var wait time.Duration
		refused := false
		for _, i := range pending {
			e := As(answers[i].Err)
			if e == nil {
				continue
			}
			if e.Status == http.StatusUnauthorized && !renewed {
				refused, again = true, append(again, i)
				continue
			}
			if d, ok := e.again(items[i].Once, round); ok {
				again, wait = append(again, i), max(wait, d)
				if e.Status == http.StatusTooManyRequests {
					c.o.Limiter.Pause(min(d, maxWait))
				}
			}
		}
		if len(again) == 0 || round >= batchRounds || wait > maxWait {
			return nil
		}
		if refused {
			renewed = true
			if _, err := c.o.Tokens.Renew(ctx, token); err != nil {
				return failBatch(ctx, err, items, again, answers)
			}
		}
		if wait > 0 {
			if err := c.pause(ctx, wait); err != nil {
				return nil // the items keep the refusals they have
			}
		}
		pending = again
	}
}

// batchOnce sends the pending items in one request and files their answers.
func (c *Client) batchOnce(ctx context.Context, op string, p pace.Priority, items []Item, pending []int, answers []Answer) error {
	type request struct {
		ID      string            `json:"id"`
		Method  string            `json:"method"`
		URL     string            `json:"url"`
		Headers map[string]string `json:"headers,omitempty"`
		Body    any               `json:"body,omitempty"`
	}
	body := struct {
		Requests []request `json:"requests"`
	}{}
	once := false
	for _, i := range pending {
		it := &items[i]
		h := map[string]string{"Prefer": prefer(it.Prefer)}
		if it.Body != nil {
			h["Content-Type"] = "application/json"
		}
		if it.IfMatch != "" {
			h["If-Match"] = it.IfMatch
		}
		once = once || it.Once
		body.Requests = append(body.Requests, request{ID: strconv.Itoa(i), Method: it.Method, URL: it.Path, Headers: h, Body: it.Body})
	}
	var out struct {
		Responses []struct {
			ID      string                     `json:"id"`
			Status  int                        `json:"status"`
			Headers map[string]json.RawMessage `json:"headers"`
			Body    json.RawMessage            `json:"body"`
		} `json:"responses"`
	}
	err := c.Do(ctx, &Request{
		Op: op, Method: http.MethodPost, Path: "/$batch", Body: body, Priority: p, Once: once,
		Weight: min(len(pending), DefaultConcurrency),
	}, &out)
	if err != nil {
		return err
	}
	answered := make(map[string]bool, len(out.Responses))
	for _, r := range out.Responses {
		i, err := strconv.Atoi(r.ID)
		if err != nil || i < 0 || i >= len(items) {
			continue
		}
		answered[r.ID] = true
		a := &answers[i]
		*a = Answer{Status: r.Status, Body: r.Body}
		if r.Status >= 300 || r.Status < 200 {
			e := decodeError(r.Status, r.Body)
			for k, v := range r.Headers {
				if strings.EqualFold(k, "Retry-After") {
					e.RetryAfter = parseRetryAfter(strings.Trim(string(v), `"`))
				}
			}
			a.Err = e.mailError(op, items[i].Once)
		}
	}
	for _, i := range pending {
		if !answered[strconv.Itoa(i)] {
			kind := mail.KindUnavailable
			if items[i].Once {
				kind = mail.KindOutcomeUnknown
			}
			answers[i] = Answer{Err: &mail.Error{Kind: kind, Op: op, Code: "no_answer", Message: "the provider left a part of the batch unanswered"}}
		}
	}
	return nil
}

// failBatch files the failure of a whole batch. Items that do no harm when
// repeated are merely unavailable, whatever became of the others.
func failBatch(ctx context.Context, err error, items []Item, pending []int, answers []Answer) error {
	for _, i := range pending {
		answers[i].Err = err
		var e *mail.Error
		if !items[i].Once && ctx.Err() == nil && errors.As(err, &e) && e.Kind == mail.KindOutcomeUnknown {
			harmless := *e
			harmless.Kind = mail.KindUnavailable
			answers[i].Err = &harmless
		}
	}
	return err
}

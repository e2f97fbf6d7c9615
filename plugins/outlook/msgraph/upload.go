package msgraph

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/pace"
)

const (
	// MinUpload is the smallest attachment that an upload session takes;
	// smaller ones are posted whole.
	MinUpload = 3 << 20
	// MaxChunk is the largest piece of an upload.
	MaxChunk = 4 << 20
	// DefaultChunk leaves room below MaxChunk and is a multiple of 320 KiB,
	// which other upload sessions of Graph insist on.
	DefaultChunk = 10 * 320 << 10
	// uploadTries is how often one piece, and then the whole session, is begun
	// again.
	uploadTries = 3
)

// UploadItem describes an attachment that is uploaded in pieces.
type UploadItem struct {
	Type        string `json:"attachmentType"`
	Name        string `json:"name"`
	ContentType string `json:"contentType,omitempty"`
	Size        int    `json:"size"`
	IsInline    bool   `json:"isInline,omitempty"`
	ContentID   string `json:"contentId,omitempty"`
}

// Upload adds an attachment of MinUpload bytes or more to the message at
// path, in pieces of at most chunk bytes.
func (c *Client) Upload(ctx context.Context, op string, p pace.Priority, path string, item UploadItem, data []byte, chunk int) error {
	if chunk <= 0 || chunk > MaxChunk {
		chunk = DefaultChunk
	}
	item.Type, item.Size = "file", len(data)
	before, err := c.countAttachments(ctx, op, p, path)
	if err != nil {
		return err
	}
	for range uploadTries {
		var session struct {
			UploadURL string `json:"uploadUrl"`
		}
		body := map[string]UploadItem{"AttachmentItem": item}
		err = c.Do(ctx, &Request{Op: op, Method: http.MethodPost, Path: path + "/attachments/createUploadSession", Body: body, Priority: p}, &session)
		if err != nil {
			return err
		}
		if u, perr := url.Parse(session.UploadURL); perr != nil || (u.Scheme != "https" && u.Scheme != c.o.Base.Scheme) || u.Host == "" {
			return &mail.Error{Kind: mail.KindUnavailable, Op: op, Code: "bad_answer", Message: "the provider gave no usable upload address"}
		}
		err = c.uploadAll(ctx, op, p, session.UploadURL, data, chunk)
		if err == nil {
			return nil
		}
		// The answer to the last piece may be what was lost.
		if n, cerr := c.countAttachments(ctx, op, p, path); cerr == nil && n > before {
			return nil
		}
		c.cancelUpload(ctx, p, session.UploadURL)
		k, outOfStep := mail.KindOf(err), StatusOf(err) == http.StatusRequestedRangeNotSatisfiable
		if ctx.Err() != nil || (k != mail.KindUnavailable && k != mail.KindNotFound && !outOfStep) {
			return err
		}
	}
	return err
}

// countAttachments is how a finished upload is noticed.
func (c *Client) countAttachments(ctx context.Context, op string, p pace.Priority, path string) (int, error) {
	var page Page[struct{}]
	err := c.Do(ctx, &Request{Op: op, Method: http.MethodGet, Path: path + "/attachments", Priority: p,
		Query: url.Values{"$select": {"id"}, "$top": {"999"}}}, &page)
	return len(page.Value), err
}

// uploadAll puts the pieces in order. A piece whose answer was lost is put
// again; where the service says which bytes it wants, it gets those.
func (c *Client) uploadAll(ctx context.Context, op string, p pace.Priority, target string, data []byte, chunk int) error {
	at, tries := 0, 0
	lost := false // the answer to the last piece
	for at < len(data) {
		end := min(at+chunk, len(data))
		next, done, err := c.putChunk(ctx, op, p, target, data, at, end)
		if lost && StatusOf(err) == http.StatusRequestedRangeNotSatisfiable && end < len(data) {
			// It was not the piece that was lost, but the answer to it.
			at, lost = end, false
			continue
		}
		lost = err != nil && StatusOf(err) == 0
		if err != nil {
			tries++
			if ctx.Err() != nil || tries >= uploadTries || mail.KindOf(err) != mail.KindUnavailable {
				return err
			}
			if werr := c.pause(ctx, max(pace.Backoff(tries), mail.RetryAfter(err))); werr != nil {
				return err
			}
			continue
		}
		if done {
			return nil
		}
		if next <= at {
			// The service wants bytes that it has had: no progress.
			if tries++; tries >= uploadTries {
				return &mail.Error{Kind: mail.KindUnavailable, Op: op, Code: "upload_stuck", Message: "the upload makes no progress"}
			}
		} else {
			tries = 0
		}
		at = next
	}
	return &mail.Error{Kind: mail.KindUnavailable, Op: op, Code: "upload_unfinished", Message: "the upload was not confirmed"}
}

// putChunk sends bytes [at, end). The address carries its own credential and
// must not get a token beside it.
func (c *Client) putChunk(ctx context.Context, op string, p pace.Priority, target string, data []byte, at, end int) (next int, done bool, err error) {
	release, err := c.o.Limiter.Acquire(ctx, p, 1)
	if err != nil {
		return 0, false, err
	}
	defer release()
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, target, bytes.NewReader(data[at:end]))
	if err != nil {
		return 0, false, &mail.Error{Kind: mail.KindInternal, Op: op, Message: "build request"}
	}
	req.Header.Set("Content-Type", "application/octet-stream")
	req.Header.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", at, end-1, len(data)))
	resp, err := c.o.HTTP.Do(req)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err
		}
		return 0, false, &mail.Error{Kind: mail.KindUnavailable, Op: op, Message: "the upload was interrupted: " + err.Error(), Err: err}
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusCreated:
		return end, true, nil
	case resp.StatusCode >= 300:
		e := readError(resp)
		kind := e.Kind()
		if e.Status == http.StatusTooManyRequests {
			kind = mail.KindUnavailable
		}
		return 0, false, &mail.Error{Kind: kind, Op: op, Code: e.Code, Message: e.Message, RetryAfter: e.RetryAfter, Err: e}
	}
	body, err := readAll(resp.Body, 1<<20)
	if err != nil {
		return 0, false, &mail.Error{Kind: mail.KindUnavailable, Op: op, Message: "the upload's answer was cut off", Err: err}
	}
	// NextExpectedRanges: ["2097152"], in the first answer ["0-"], and with
	// another case of letters; encoding/json matches either.
	var state struct {
		NextExpectedRanges []string `json:"nextExpectedRanges"`
	}
	if json.Unmarshal(body, &state) != nil || len(state.NextExpectedRanges) == 0 {
		return end, false, nil
	}
	first, _, _ := strings.Cut(state.NextExpectedRanges[0], "-")
	n, err := strconv.Atoi(first)
	if err != nil || n < 0 || n > len(data) {
		return end, false, nil
	}
	return n, false, nil
}

// cancelUpload tells the service to forget a session; it would expire anyway.
func (c *Client) cancelUpload(ctx context.Context, p pace.Priority, target string) {
	release, err := c.o.Limiter.Acquire(ctx, p, 1)
	if err != nil {
		return
	}
	defer release()
	req, err := http.NewRequestWithContext(ctx, http.MethodDelete, target, http.NoBody)
	if err != nil {
		return
	}
	if resp, err := c.o.HTTP.Do(req); err == nil {
		_ = resp.Body.Close()
	}
}

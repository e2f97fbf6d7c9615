package outlook

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/postern-mail/postern/plugins/outlook/msgraph"
	"github.com/postern-mail/postern/plugins/sdk/mail"
)

// propOperation marks what an operation has made. One name for all of them:
// names are a limited good of a mailbox.
const propOperation = "String {5b9f8a0e-7c43-4d0e-9a55-2f6d3c1be871} Name PosternOperation"

// building stands before the operation's id while attachments are still to
// come.
const building = "building:"

// requestBudget is how much of text and encoded attachments goes along with a
// message that is made; the request must stay below 4 MB.
const requestBudget = 3_600_000

// draftSelect is what has to be known of a message found again.
const draftSelect = "id,changeKey,parentFolderId,conversationId,internetMessageId,isDraft,createdDateTime," +
	"subject,bodyPreview,importance,hasAttachments,from,sender,toRecipients,ccRecipients,bccRecipients,replyTo,receivedDateTime,sentDateTime,isRead,flag,categories"

// readMessage reads the raw bytes that come with a request. big is true where
// done must be waited for: few such messages are held at once.
func (c *call) readMessage(ctx context.Context, raw io.Reader, size int64) (data []byte, done func(), err error) {
	done = func() {}
	if size > maxMessage {
		return nil, done, &mail.Error{Kind: mail.KindTooLarge, Op: c.op, Message: fmt.Sprintf("a message of %d bytes is larger than the provider takes", size)}
	}
	if size == 0 || size > c.conf.mimeLimit {
		select {
		case c.p.large <- struct{}{}:
			done = func() { <-c.p.large }
		case <-ctx.Done():
			return nil, done, cancelled(c.op, ctx)
		}
	}
	var b bytes.Buffer
	if size > 0 {
		b.Grow(int(size) + bytes.MinRead)
	}
	_, err = b.ReadFrom(io.LimitReader(raw, maxMessage+1))
	data = b.Bytes()
	switch {
	case err != nil:
		err = &mail.Error{Kind: mail.KindUnavailable, Op: c.op, Message: "the message could not be read", Err: err}
	case len(data) > maxMessage:
		err = &mail.Error{Kind: mail.KindTooLarge, Op: c.op, Message: "the message is larger than the provider takes"}
	case size > 0 && int64(len(data)) != size:
		err = &mail.Error{Kind: mail.KindInvalid, Op: c.op, Message: fmt.Sprintf("the message has %d bytes, not %d", len(data), size)}
	case len(data) == 0:
		err = &mail.Error{Kind: mail.KindInvalid, Op: c.op, Message: "the message is empty"}
	}
	if err != nil {
		done()
		return nil, func() {}, err
	}
	return data, done, nil
}

func odataString(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

func operationFilter(value string) string {
	return "singleValueExtendedProperties/Any(ep: ep/id eq " + odataString(propOperation) + " and ep/value eq " + odataString(value) + ")"
}

func findPath(filter string) string {
	return "/me/messages?" + msgraph.EncodeQuery(url.Values{"$filter": {filter}, "$select": {draftSelect},
		"$expand": {expand(propLastVerb, propSize, propOperation)}, "$top": {"10"}})
}

// found is what earlier attempts have left.
type found struct {
	done       []msgraph.Message // finished by this operation
	unfinished []msgraph.Message // begun by it
	sameID     map[string]bool   // what has the Message-ID, whoever's
	unmarked   []msgraph.Message // the drafts among these that no operation has marked
}

// find looks for what an operation has made, in one batch.
func (c *call) find(ctx context.Context, operation, messageID string) (*found, error) {
	var filters []string
	if operation != "" {
		filters = append(filters, operationFilter(operation), operationFilter(building+operation))
	}
	if messageID != "" {
		filters = append(filters, "internetMessageId eq "+odataString("<"+messageID+">"))
	}
	f := &found{sameID: map[string]bool{}}
	batch := make([]msgraph.Item, len(filters))
	for i := range filters {
		batch[i] = msgraph.Item{Method: http.MethodGet, Path: findPath(filters[i])}
	}
	answers, err := c.graph.Batch(ctx, c.op, c.prio, batch)
	if err != nil {
		return nil, err
	}
	for i := range answers {
		var page msgraph.Page[msgraph.Message]
		if err := answers[i].Decode(c.op, &page); err != nil {
			return nil, err
		}
		switch {
		case operation != "" && i == 0:
			f.done = page.Value
		case operation != "" && i == 1:
			f.unfinished = page.Value
		default:
			for _, m := range page.Value {
				f.sameID[m.ID] = true
				if m.IsDraft != nil && *m.IsDraft && !marked(&m) {
					f.unmarked = append(f.unmarked, m)
				}
			}
		}
	}
	return f, nil
}

// marked reports whether an operation has made a message, this one or another.
func marked(m *msgraph.Message) bool {
	return slices.ContainsFunc(m.Properties, func(p msgraph.Property) bool { return sameProperty(p.ID, propOperation) })
}

// discard removes for good what was begun and cannot be used. It may fail:
// then a draft stays behind.
func (c *call) discard(ctx context.Context, messages []msgraph.Message) {
	if err := c.remove(ctx, messages); err != nil {
		c.p.log().Warn("an unfinished draft stays behind", "account", c.acct.id, "err", err)
	}
}

// remove is discard for those who can come again.
func (c *call) remove(ctx context.Context, messages []msgraph.Message) error {
	if len(messages) == 0 {
		return nil
	}
	ids := make([]string, len(messages))
	for i := range messages {
		ids[i] = messages[i].ID
	}
	w := newWork(ids)
	if err := c.purge(ctx, w); err != nil {
		return err
	}
	for _, r := range w.results {
		if r.Err != nil && mail.KindOf(r.Err) != mail.KindNotFound {
			return r.Err
		}
	}
	return nil
}

// createMIME makes a draft from MIME, which Graph always takes for a draft.
// The mark cannot go along, so that a lost answer is settled by Message-ID:
// what was not there before (the caller has looked) is ours.
func (c *call) createMIME(ctx context.Context, folder string, raw []byte, messageID string, before map[string]bool) (*msgraph.Message, error) {
	body := []byte(base64.StdEncoding.EncodeToString(raw))
	for try := 1; ; try++ {
		var m msgraph.Message
		err := c.graph.Do(ctx, &msgraph.Request{
			Op: c.op, Method: http.MethodPost, Path: folderPath(folder) + "/messages", Priority: c.prio,
			Body: body, ContentType: "text/plain", Once: true,
		}, &m)
		if mail.KindOf(err) != mail.KindOutcomeUnknown || messageID == "" || ctx.Err() != nil || try == 3 {
			return &m, err
		}
		after, lookErr := c.find(ctx, "", messageID)
		if lookErr != nil {
			return nil, err
		}
		for id := range after.sameID {
			if !before[id] {
				return c.state(ctx, id)
			}
		}
		// Should the first attempt still come through, a draft stays behind;
		// nothing is sent by that.
	}
}

// state reads all of a message that a list tells.
func (c *call) state(ctx context.Context, id string) (*msgraph.Message, error) {
	var m msgraph.Message
	err := c.graph.Do(ctx, &msgraph.Request{Op: c.op, Method: http.MethodGet, Path: messagePath(id), Priority: c.prio,
		Query: url.Values{"$select": {listSelect}}}, &m)
	return &m, err
}

// patch changes a message and gives its new state.
func (c *call) patch(ctx context.Context, id string, body map[string]any) (*msgraph.Message, error) {
	var m msgraph.Message
	err := c.graph.Do(ctx, &msgraph.Request{Op: c.op, Method: http.MethodPatch, Path: messagePath(id), Priority: c.prio, Body: body}, &m)
	return &m, err
}

func operationProperty(value string) []msgraph.Property {
	return []msgraph.Property{{ID: propOperation, Value: value}}
}

// jsonMessage is content as Graph's create takes it. extra fields are added to
// those of the message.
func (ct *content) jsonMessage(extra map[string]any, properties []msgraph.Property) (map[string]any, error) {
	m := ct.message
	m.Properties = append(slices.Clone(m.Properties), properties...)
	data, err := json.Marshal(&m)
	if err != nil {
		return nil, err
	}
	body := map[string]any{}
	if err := json.Unmarshal(data, &body); err != nil {
		return nil, err
	}
	delete(body, "id")
	body["body"] = map[string]string{"contentType": ct.bodyType, "content": ct.body}
	for k, v := range extra {
		body[k] = v
	}
	return body, nil
}

// createJSON makes a message from its parts: what fits goes along, larger
// attachments follow. It is marked from the first moment, as being built
// until all is there.
func (c *call) createJSON(ctx context.Context, folder string, ct *content, operation string, extra map[string]any, properties []msgraph.Property) (*msgraph.Message, error) {
	var inline []msgraph.Attachment
	var later []int
	budget := requestBudget - 2*len(ct.body) - 2*len(ct.headerBlock)
	for i := range ct.attachments {
		a := &ct.attachments[i]
		if a.encodedLen() > budget {
			later = append(later, i)
			continue
		}
		data, err := a.decode()
		if err != nil {
			data = a.raw // an unknown encoding goes as it stands
		}
		budget -= a.encodedLen()
		inline = append(inline, a.resource(data))
	}
	mark := operation
	if len(later) > 0 {
		mark = building + operation
	}
	if operation != "" {
		properties = append(slices.Clone(properties), operationProperty(mark)...)
	}
	body, err := ct.jsonMessage(extra, properties)
	if err != nil {
		return nil, &mail.Error{Kind: mail.KindInternal, Op: c.op, Message: "encode message", Err: err}
	}
	if len(inline) > 0 {
		body["attachments"] = inline
	}
	var m msgraph.Message
	err = c.graph.Do(ctx, &msgraph.Request{Op: c.op, Method: http.MethodPost, Path: folderPath(folder) + "/messages", Priority: c.prio, Body: body, Once: true}, &m)
	if mail.KindOf(err) == mail.KindOutcomeUnknown && operation != "" && ctx.Err() == nil {
		// The mark went along: look for it.
		f, lookErr := c.find(ctx, operation, "")
		if lookErr == nil {
			switch made := append(f.done, f.unfinished...); {
			case len(made) > 0:
				m, err = made[0], nil
			default:
				err = &mail.Error{Kind: mail.KindUnavailable, Op: c.op, Message: "the message was not stored", Err: err}
			}
		}
	}
	if mail.KindOf(err) == mail.KindTooLarge {
		// What is attached would have followed by itself.
		err = &mail.Error{Kind: mail.KindTooLarge, Op: c.op, Code: errCode(err), Err: err,
			Message: "the text of the message is larger than the provider takes in one request (4 MB); what is attached may be larger"}
	}
	if err != nil || len(later) == 0 {
		return &m, err
	}
	for _, i := range later {
		if err := c.attach(ctx, m.ID, &ct.attachments[i]); err != nil {
			c.discard(context.WithoutCancel(ctx), []msgraph.Message{m})
			return nil, err
		}
	}
	if operation == "" {
		return c.state(ctx, m.ID)
	}
	return c.patch(ctx, m.ID, map[string]any{"singleValueExtendedProperties": operationProperty(operation)})
}

// encodedLen is an upper bound of what a part takes in JSON.
func (a *attachment) encodedLen() int {
	if a.encoding == "base64" {
		return len(a.raw)
	}
	return base64.StdEncoding.EncodedLen(len(a.raw))
}

func (a *attachment) resource(data []byte) msgraph.Attachment {
	return msgraph.Attachment{
		Type: msgraph.FileAttachment, Name: a.name, ContentType: a.contentType, ContentBytes: data,
		ContentID: a.contentID, IsInline: a.inline,
	}
}

// attach adds one attachment: posted whole, or uploaded in pieces.
func (c *call) attach(ctx context.Context, id string, a *attachment) error {
	data, err := a.decode()
	if err != nil {
		data = a.raw
	}
	if len(data) >= msgraph.MinUpload {
		return c.graph.Upload(ctx, c.op, c.prio, messagePath(id), msgraph.UploadItem{
			Name: a.name, ContentType: a.contentType, ContentID: a.contentID, IsInline: a.inline,
		}, data, c.conf.uploadChunk)
	}
	err = c.graph.Do(ctx, &msgraph.Request{Op: c.op, Method: http.MethodPost, Path: messagePath(id) + "/attachments",
		Priority: c.prio, Body: a.resource(data), Once: true}, nil)
	if mail.KindOf(err) == mail.KindOutcomeUnknown {
		// Whether it is there or not, this copy is given up by the caller.
		return &mail.Error{Kind: mail.KindUnavailable, Op: c.op, Message: "an attachment could not be stored", Err: errors.Unwrap(err)}
	}
	return err
}

// exchangeTime is how a property of type SystemTime is written.
func exchangeTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

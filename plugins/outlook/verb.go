package outlook

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/postern-mail/postern/plugins/outlook/msgraph"
	"github.com/postern-mail/postern/plugins/sdk/mail"
)

// Exchange keeps $answered and $forwarded in one property, the last thing that
// was done with a message (MS-OXOMSG, PidTagLastVerbExecuted). Graph has no
// name for it: it has to be asked for as an extended property, by lists, gets
// and the first request of a delta. Whoever changes it changes the message and
// its change key, so that a delta tells of it as of any other change.
//
// A message that was never answered does not have the property. So that this
// differs from a Graph that did not listen (expanding was refused or ignored by
// deltas for years), another property is asked for along with it, which every
// message has: where that is missing, too, nothing is known of the keywords,
// and the message is read by itself.
const (
	propLastVerb = "Integer 0x1081"
	propSize     = "Integer 0x0E08" // PidTagMessageSize, the witness
)

// Values of propLastVerb. Others are of calendars and votes.
const (
	verbNone     = "0"
	verbReply    = "102"
	verbReplyAll = "103"
	verbForward  = "104"
)

func verbKeyword(verb string) string {
	switch verb {
	case verbReply, verbReplyAll:
		return mail.Answered
	case verbForward:
		return mail.Forwarded
	}
	return ""
}

func keywordVerb(keyword string) string {
	if keyword == mail.Forwarded {
		return verbForward
	}
	return verbReply
}

// expand is an $expand of extended properties.
func expand(ids ...string) string {
	terms := make([]string, len(ids))
	for i, id := range ids {
		terms[i] = "id eq " + odataString(id)
	}
	return "singleValueExtendedProperties($filter=" + strings.Join(terms, " or ") + ")"
}

func expandVerb() string { return expand(propLastVerb, propSize) }

// stateQuery asks for the keywords and the mailbox of one message.
func stateQuery() string {
	return "?" + msgraph.EncodeQuery(url.Values{"$select": {stateSelect}, "$expand": {expandVerb()}})
}

func verbProperty(verb string) []msgraph.Property {
	return []msgraph.Property{{ID: propLastVerb, Value: verb}}
}

// lastVerb is what was last done with a message, and whether that is known.
func lastVerb(g *msgraph.Message) (verb string, told bool) {
	for _, p := range g.Properties {
		switch {
		case sameProperty(p.ID, propLastVerb):
			return p.Value, true
		case sameProperty(p.ID, propSize):
			told = true
		}
	}
	return verbNone, told
}

func verbTold(g *msgraph.Message) bool {
	_, told := lastVerb(g)
	return told
}

// tellVerbs reads the last verb of those entries of a list or a delta that
// came without it. Partial entries are left alone, for they claim little. What
// is gone by now stays as it is: the feed will tell so.
func (c *call) tellVerbs(ctx context.Context, entries []msgraph.Message) error {
	var batch []msgraph.Item
	var of []int
	for i := range entries {
		e := &entries[i]
		if e.ID == "" || e.Removed != nil || e.Received == nil || verbTold(e) {
			continue
		}
		path := messagePath(e.ID) + "?" + msgraph.EncodeQuery(url.Values{"$select": {"id"}, "$expand": {expandVerb()}})
		batch, of = append(batch, msgraph.Item{Method: http.MethodGet, Path: path}), append(of, i)
	}
	answers, err := c.graph.Batch(ctx, c.op, c.prio, batch)
	if err != nil {
		return err
	}
	for j := range answers {
		var g msgraph.Message
		switch err := answers[j].Decode(c.op, &g); mail.KindOf(err) {
		case "":
			verb, _ := lastVerb(&g)
			entries[of[j]].Properties = verbProperty(verb)
		case mail.KindNotFound:
		default:
			return err
		}
	}
	return nil
}

// readUntold reads the states that the answers to a change left open. The
// change is made by then: what cannot be read is not claimed, and no failure.
func (c *call) readUntold(ctx context.Context, w *work) {
	again := newWork(w.ids)
	_ = c.each(ctx, again, func(i int) (msgraph.Item, bool) {
		return msgraph.Item{Method: http.MethodGet, Path: messagePath(w.ids[i]) + stateQuery()},
			w.results[i].Err == nil && !verbTold(&w.states[i])
	})
	for i := range w.ids {
		if again.states[i].ID != "" {
			w.states[i], w.results[i] = again.states[i], again.results[i]
		}
	}
}

// verbOf is the property that a new message with these keywords is made with.
// It holds one of the two: of both, $answered.
func verbOf(keywords []string) []msgraph.Property {
	has := func(want string) bool {
		return slices.ContainsFunc(keywords, func(k string) bool { return strings.EqualFold(k, want) })
	}
	switch {
	case has(mail.Answered):
		return verbProperty(verbReply)
	case has(mail.Forwarded):
		return verbProperty(verbForward)
	}
	return nil
}

package outlook

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/postern-mail/postern/plugins/outlook/msgraph"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// conflictRounds is how often a change of categories or of the last verb is
// tried against others that change the same message.
const conflictRounds = 5

// change is what a Modify does to keywords.
type change struct {
	patch       map[string]any
	add, remove []string // free keywords
	verb        string   // $answered or $forwarded, where one is put on
	unverb      []string // those of them that are taken off
}

func newChange(req *provider.ModifyRequest) *change {
	ch := &change{patch: map[string]any{}}
	set := func(k string, on bool) {
		switch k = strings.ToLower(k); {
		case k == mail.Seen:
			ch.patch["isRead"] = on
		case k == mail.Flagged && on:
			ch.patch["flag"] = msgraph.Flag{Status: "flagged"}
		case k == mail.Flagged:
			ch.patch["flag"] = msgraph.Flag{Status: "notFlagged"}
		case (k == mail.Answered || k == mail.Forwarded) && !on:
			ch.unverb = append(ch.unverb, k)
		case k == mail.Answered, k == mail.Forwarded && ch.verb == "":
			ch.verb = k
		case strings.HasPrefix(k, "$"):
			// $draft cannot be changed, others are not kept here.
		case on:
			ch.add = append(ch.add, k)
		default:
			ch.remove = append(ch.remove, k)
		}
	}
	for _, k := range req.RemoveKeywords {
		set(k, false)
	}
	for _, k := range req.AddKeywords {
		set(k, true)
	}
	return ch
}

// reads says whether what is there has to be known: categories are one list,
// and the last verb is one value.
func (ch *change) reads() bool {
	return len(ch.add)+len(ch.remove)+len(ch.unverb) > 0 || ch.verb != ""
}

// applyVerb gives the last verb after the change, and whether it differs. An
// answer to all stays one.
func (ch *change) applyVerb(have string) (string, bool) {
	k := verbKeyword(have)
	switch {
	case ch.verb != "" && ch.verb != k:
		return keywordVerb(ch.verb), true
	case ch.verb == "" && k != "" && slices.Contains(ch.unverb, k):
		return verbNone, true
	}
	return have, false
}

// apply gives the categories after the change, and whether they differ.
func (ch *change) apply(have []string) ([]string, bool) {
	out := make([]string, 0, len(have)+len(ch.add))
	changed := false
	present := map[string]bool{}
	for _, c := range have {
		k := categoryKeyword(c)
		if slices.Contains(ch.remove, k) && !slices.Contains(ch.add, k) {
			changed = true
			continue
		}
		present[k] = true
		out = append(out, c)
	}
	for _, k := range ch.add {
		if !present[k] {
			present[k], changed = true, true
			out = append(out, keywordCategory(k))
		}
	}
	return out, changed
}

// patchRead reads categories and last verb and writes them back, with the etag
// that they were read with: whoever was faster is not overwritten.
func (c *call) patchRead(ctx context.Context, w *work, ch *change) error {
	todo := make([]bool, len(w.ids))
	for i := range todo {
		todo[i] = true
	}
	for round := 1; ; round++ {
		if err := c.each(ctx, w, func(i int) (msgraph.Item, bool) {
			return msgraph.Item{Method: http.MethodGet, Path: messagePath(w.ids[i]) + stateQuery()}, todo[i]
		}); err != nil {
			return err
		}
		bodies := make([]map[string]any, len(w.ids))
		for i := range w.ids {
			if !todo[i] || w.results[i].Err != nil {
				todo[i] = false
				continue
			}
			next, changed := ch.apply(w.states[i].Categories)
			bodies[i] = map[string]any{}
			for k, v := range ch.patch {
				bodies[i][k] = v
			}
			if changed {
				bodies[i]["categories"] = next
			}
			verb, _ := lastVerb(&w.states[i])
			if verb, changed := ch.applyVerb(verb); changed {
				w.states[i].Properties = verbProperty(verb)
				bodies[i]["singleValueExtendedProperties"] = verbProperty(verb)
			}
			todo[i] = len(bodies[i]) > 0
		}
		if err := c.each(ctx, w, func(i int) (msgraph.Item, bool) {
			return msgraph.Item{Method: http.MethodPatch, Path: messagePath(w.ids[i]), IfMatch: w.states[i].ETag, Body: bodies[i]}, todo[i]
		}); err != nil {
			return err
		}
		more := false
		for i := range todo {
			todo[i] = todo[i] && mail.KindOf(w.results[i].Err) == mail.KindConflict
			more = more || todo[i]
		}
		if !more || round == conflictRounds {
			return nil
		}
	}
}

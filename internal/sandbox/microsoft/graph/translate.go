package graph

import (
	"encoding/base64"
	"strings"
)

// idFormats are the id forms of translateExchangeIds; restId and
// restImmutableEntryId are those of URLs.
var idFormats = []string{"entryId", "ewsId", "immutableEntryId", "restId", "restImmutableEntryId"}

func (c *call) translateIDs() (answer, error) {
	o, err := c.action("inputids", "sourceidtype", "targetidtype")
	if err != nil {
		return answer{}, err
	}
	inputs, err := read[[]string](o.values["inputids"], "Collection(Edm.String)")
	if err != nil {
		return answer{}, err
	}
	if len(inputs) == 0 || len(inputs) > 1000 {
		return answer{}, errInvalidRequest("The number of input ids must be between 1 and 1000.")
	}
	var from, to string
	for name, at := range map[string]*string{"sourceidtype": &from, "targetidtype": &to} {
		s, err := readString(o.values[name])
		if err != nil {
			return answer{}, err
		}
		if *at, err = oneOf(s, idFormats...); err != nil {
			return answer{}, err
		}
	}
	es := make([]entity, len(inputs))
	for i, id := range inputs {
		target, err := c.translate(id, from, to)
		if err != nil {
			return answer{}, err
		}
		es[i] = entity{{"sourceId", id}, {"targetId", target}}
	}
	return ok(entity{
		{"@odata.context", c.base + "/v1.0/$metadata#Collection(microsoft.graph.convertIdResult)"},
		{"value", es},
	}), nil
}

// translate goes through the REST form: the others are the same bytes without
// the envelope (entry ids) or in the other base64 alphabet (EWS).
func (c *call) translate(id, from, to string) (string, error) {
	rest, err := c.restForm(id, from)
	if err != nil {
		return "", err
	}
	r, valid := parseID(rest)
	if !valid || r.attach != "" {
		return "", errMalformedID()
	}
	ids := c.mb.ids
	if r.kind == folderID {
		if c.mb.folders[r.folder] == nil {
			return "", errItemNotFound()
		}
		return encodeForm(ids.wrap(ids.folderEntry(r.folder)), ids.folderEntry(r.folder), to), nil
	}
	m, err := c.mb.lookup(rest, c.now)
	if err != nil {
		return "", err
	}
	if to == "immutableEntryId" || to == "restImmutableEntryId" {
		e := ids.immutableEntry(m.num)
		return encodeForm(wrapImmutable(e), e, to), nil
	}
	e := ids.regularEntry(m.folder.num, m.mid)
	return encodeForm(ids.wrap(e), e, to), nil
}

func encodeForm(wrapped, entry []byte, form string) string {
	switch form {
	case "entryId", "immutableEntryId":
		return base64.URLEncoding.EncodeToString(entry)
	case "ewsId":
		return base64.StdEncoding.EncodeToString(wrapped)
	}
	return base64.URLEncoding.EncodeToString(wrapped)
}

func (c *call) restForm(id, from string) (string, error) {
	switch from {
	case "ewsId":
		return strings.NewReplacer("+", "-", "/", "_").Replace(id), nil
	case "entryId", "immutableEntryId":
		b, err := base64.URLEncoding.DecodeString(id)
		if err != nil {
			return "", errMalformedID()
		}
		if from == "immutableEntryId" {
			return base64.URLEncoding.EncodeToString(wrapImmutable(b)), nil
		}
		return base64.URLEncoding.EncodeToString(c.mb.ids.wrap(b)), nil
	}
	return id, nil
}

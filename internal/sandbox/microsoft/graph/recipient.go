package graph

import "github.com/postern-mail/postern/internal/sandbox/mimetree"

// recipientEntity is a recipient as the service shows it.
func recipientEntity(r mimetree.Recipient) entity {
	name := r.Name
	if name == "" {
		name = r.Address
	}
	return entity{{"emailAddress", entity{{"name", name}, {"address", r.Address}}}}
}

func recipients(rs []mimetree.Recipient) []entity {
	es := make([]entity, len(rs))
	for i, r := range rs {
		es[i] = recipientEntity(r)
	}
	return es
}

package e2e

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// typeRef is a type as introspection wraps it (GraphQL, 4.2).
type typeRef struct {
	Kind   string
	Name   string
	OfType *typeRef
}

// base is the type inside lists and non-nulls.
func (t *typeRef) base() *typeRef {
	for t.OfType != nil {
		t = t.OfType
	}
	return t
}

// gqlField is a field of a type.
type gqlField struct {
	Name string
	Args []struct {
		Name         string
		DefaultValue *string
		Type         typeRef
	}
	Type typeRef
}

// gqlType is a type of the schema.
type gqlType struct {
	Kind, Name string
	Fields     []gqlField
	EnumValues []struct{ Name string }
}

// schema is the gateway's schema as it tells it.
type schema struct {
	types map[string]*gqlType
	// roots are the types of query, mutation and subscription.
	query, mutation, subscription string
}

const introspection = `{ __schema {
  queryType { name } mutationType { name } subscriptionType { name }
  types { kind name
    fields(includeDeprecated: true) { name args { name defaultValue type { ...Ref } } type { ...Ref } }
    enumValues { name } } } }
fragment Ref on __Type { kind name ofType { kind name ofType { kind name ofType { kind name } } } }`

func (d *demo) introspect() *schema {
	d.t.Helper()
	type named struct{ Name string }
	var got struct {
		Schema struct {
			QueryType, MutationType, SubscriptionType named
			Types                                     []gqlType
		} `json:"__schema"`
	}
	d.query(introspection, nil, &got)
	s := &schema{types: map[string]*gqlType{}, query: got.Schema.QueryType.Name,
		mutation: got.Schema.MutationType.Name, subscription: got.Schema.SubscriptionType.Name}
	for i := range got.Schema.Types {
		if t := &got.Schema.Types[i]; !strings.HasPrefix(t.Name, "__") {
			s.types[t.Name] = t
		}
	}
	return s
}

// objects are the object types that can be reached from the roots, but for the
// mutations' own.
func (s *schema) objects() []string {
	seen := map[string]bool{}
	var walk func(name string)
	walk = func(name string) {
		t := s.types[name]
		if t == nil || t.Kind != "OBJECT" || seen[name] {
			return
		}
		seen[name] = true
		for _, f := range t.Fields {
			walk(f.Type.base().Name)
		}
	}
	for _, root := range []string{s.query, s.mutation, s.subscription} {
		walk(root)
	}
	delete(seen, s.mutation)
	return slices.Sorted(maps.Keys(seen))
}

// fragment asks for every field of a type; of objects inside it only what they
// are.
func (s *schema) fragment(name string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "fragment %s on %s { __typename", name, name)
	for _, f := range s.types[name].Fields {
		b.WriteString(" " + f.Name + arguments(&f))
		if s.types[f.Type.base().Name].Kind == "OBJECT" {
			b.WriteString(" { __typename }")
		}
	}
	return b.String() + " }"
}

// arguments are those that a fragment gives a field. A query that goes deeper
// into the field must give it the same.
func arguments(f *gqlField) string {
	var out []string
	for _, a := range f.Args {
		switch {
		case a.Name == "first":
			out = append(out, "first: 2")
		case a.Name == "query":
			out = append(out, `query: "walk"`)
		}
	}
	if len(out) == 0 {
		return ""
	}
	slices.Sort(out)
	return "(" + strings.Join(out, ", ") + ")"
}

var spread = regexp.MustCompile(`\.\.\.([A-Z]\w*)`)

// complete adds the fragments that a query uses.
func (s *schema) complete(query string) string {
	names := map[string]bool{}
	for _, m := range spread.FindAllStringSubmatch(query, -1) {
		names[m[1]] = true
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		query += "\n" + s.fragment(name)
	}
	return query
}

// note writes down which fields of an answer hold something: null and the
// empty list do not.
func note(seen map[string]bool, v any) {
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			note(seen, item)
		}
	case map[string]any:
		name, _ := v["__typename"].(string)
		for field, value := range v {
			if list, ok := value.([]any); value != nil && (!ok || len(list) > 0) {
				seen[name+"."+field] = true
			}
			note(seen, value)
		}
	}
}

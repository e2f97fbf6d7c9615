package graph

import (
	"strings"
	"time"
)

func (l literal) eval(lookup) (any, error) { return l.value, nil }

func (p property) eval(l lookup) (any, error) {
	v, ok := l(p.path)
	if !ok {
		return nil, errBadRequest("Invalid filter clause: Could not find a property named '%s'.", p.path)
	}
	return v, nil
}

func truth(x expr, l lookup) (bool, error) {
	v, err := x.eval(l)
	if err != nil {
		return false, err
	}
	b, ok := v.(bool)
	if !ok && v != nil {
		return false, errBadRequest("Invalid filter clause: The $filter expression must evaluate to a single boolean value.")
	}
	return b, nil
}

func (n not) eval(l lookup) (any, error) {
	b, err := truth(n.x, l)
	return !b, err
}

func (x logical) eval(l lookup) (any, error) {
	a, err := truth(x.a, l)
	if err != nil || a != x.and {
		return a, err
	}
	return truth(x.b, l)
}

func (c comparison) eval(l lookup) (any, error) {
	a, err := c.a.eval(l)
	if err != nil {
		return nil, err
	}
	b, err := c.b.eval(l)
	if err != nil {
		return nil, err
	}
	if a == nil || b == nil {
		same := a == nil && b == nil
		return c.op == "eq" && same || c.op == "ne" && !same, nil
	}
	n, ok := compareValues(a, b)
	if !ok {
		return nil, errBadRequest("Invalid filter clause: A binary operator with incompatible types was detected. Found operand types for operator kind '%s'.", c.op)
	}
	switch c.op {
	case "eq":
		return n == 0, nil
	case "ne":
		return n != 0, nil
	case "gt":
		return n > 0, nil
	case "ge":
		return n >= 0, nil
	case "lt":
		return n < 0, nil
	}
	return n <= 0, nil
}

// compareValues orders two values of one type; text as Exchange does, without
// regard to case.
func compareValues(a, b any) (int, bool) {
	switch a := a.(type) {
	case string:
		if b, ok := b.(string); ok {
			return strings.Compare(strings.ToLower(a), strings.ToLower(b)), true
		}
	case time.Time:
		if b, ok := b.(time.Time); ok {
			return a.Compare(b), true
		}
	case float64:
		if b, ok := b.(float64); ok {
			switch {
			case a < b:
				return -1, true
			case a > b:
				return 1, true
			}
			return 0, true
		}
	case bool:
		if b, ok := b.(bool); ok {
			if a == b {
				return 0, true
			}
			return 1, true
		}
	}
	return 0, false
}

func (f function) eval(l lookup) (any, error) {
	if p, ok := f.args[0].(property); ok && len(f.args) == 2 && unfilterable[p.path] {
		return nil, errFilterFunction()
	}
	args := make([]string, len(f.args))
	for i, a := range f.args {
		v, err := a.eval(l)
		if err != nil {
			return nil, err
		}
		s, ok := v.(string)
		if !ok && v != nil {
			return nil, errBadRequest("Invalid filter clause: No function signature for the function with name '%s' matches the specified arguments.", f.name)
		}
		args[i] = strings.ToLower(s)
	}
	switch f.name {
	case "startswith":
		return strings.HasPrefix(args[0], args[1]), nil
	case "endswith":
		return strings.HasSuffix(args[0], args[1]), nil
	case "contains":
		return strings.Contains(args[0], args[1]), nil
	case "toupper":
		return strings.ToUpper(args[0]), nil
	case "trim":
		return strings.TrimSpace(args[0]), nil
	}
	return args[0], nil
}

// unfilterable are the properties on which functions are refused with
// ErrorInvalidUrlQueryFilter: text that only the search index holds.
var unfilterable = map[string]bool{"body/content": true, "bodypreview": true, "uniquebody/content": true}

func (x lambda) eval(l lookup) (any, error) {
	v, ok := l(x.path)
	if !ok {
		return nil, errBadRequest("Invalid filter clause: Could not find a property named '%s'.", x.path)
	}
	items, ok := v.([]lookup)
	if !ok {
		return nil, errBadRequest("Invalid filter clause: Any/All may only be used following a collection; '%s' is none.", x.path)
	}
	if x.body == nil {
		return len(items) > 0, nil
	}
	for _, item := range items {
		inner := func(path string) (any, bool) {
			head, rest, _ := strings.Cut(path, "/")
			if head == x.variable {
				return item(rest)
			}
			return l(path)
		}
		b, err := truth(x.body, inner)
		if err != nil {
			return nil, err
		}
		if b != x.all {
			return b, nil
		}
	}
	return x.all, nil
}

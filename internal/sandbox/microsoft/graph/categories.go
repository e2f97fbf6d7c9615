package graph

import (
	"crypto/sha256"
	"net/http"
	"regexp"
	"strings"

	"github.com/google/uuid"
)

// A category is an entry of the master list. Messages carry names, which need
// not be in it.
type category struct{ ID, Name, Color string }

// defaultCategories is the list that new mailboxes have.
func defaultCategories(userID string) []category {
	var cs []category
	for _, c := range []struct{ name, color string }{
		{"Red category", "preset0"}, {"Orange category", "preset1"}, {"Yellow category", "preset3"},
		{"Green category", "preset4"}, {"Blue category", "preset7"}, {"Purple category", "preset8"},
	} {
		sum := sha256.Sum256([]byte(userID + c.name))
		cs = append(cs, category{formatGUID(sum[:16]), c.name, c.color})
	}
	return cs
}

var colorPattern = regexp.MustCompile(`^(none|preset([0-9]|1[0-9]|2[0-4]))$`)

func (c category) entity() entity {
	return entity{{"id", c.ID}, {"displayName", c.Name}, {"color", c.Color}}
}

func (c *call) findCategory() (*category, error) {
	for i := range c.mb.categories {
		if strings.EqualFold(c.mb.categories[i].ID, c.path.key) {
			return &c.mb.categories[i], nil
		}
	}
	return nil, errItemNotFound()
}

func (c *call) listCategories() (answer, error) {
	es := []entity{}
	for _, cat := range c.mb.categories {
		es = append(es, cat.entity())
	}
	return ok(c.many("outlook/masterCategories", es, len(es), "")), nil
}

func (c *call) countCategories() (answer, error) { return countText(len(c.mb.categories)), nil }

func (c *call) getCategory() (answer, error) {
	cat, err := c.findCategory()
	if err != nil {
		return answer{}, err
	}
	return ok(c.one("outlook/masterCategories", cat.entity())), nil
}

// readCategory reads a category as a client gives it.
func (c *call) readCategory() (name, color string, err error) {
	o, err := sub(c.body, "outlookCategory", "id", "displayName", "color")
	if err != nil {
		return "", "", err
	}
	if name, err = readString(o.values["displayName"]); err != nil {
		return "", "", err
	}
	if color, err = readString(o.values["color"]); err != nil {
		return "", "", err
	}
	color = strings.ToLower(color)
	if color != "" && !colorPattern.MatchString(color) {
		return "", "", errRequestBody("Requested value '%s' was not found.", abbreviate(color))
	}
	return strings.TrimSpace(name), color, nil
}

func (c *call) createCategory() (answer, error) {
	name, color, err := c.readCategory()
	if err != nil {
		return answer{}, err
	}
	if name == "" {
		return answer{}, errInvalidRequest("The category's display name is missing.")
	}
	for _, cat := range c.mb.categories {
		if strings.EqualFold(cat.Name, name) {
			return answer{}, &Error{Status: http.StatusConflict, Code: "ErrorItemSave", Message: "A category with the specified name already exists."}
		}
	}
	if color == "" {
		color = "none"
	}
	cat := category{uuid.NewString(), name, color}
	c.mb.categories = append(c.mb.categories, cat)
	return created(c.one("outlook/masterCategories", cat.entity())), nil
}

func (c *call) updateCategory() (answer, error) {
	cat, err := c.findCategory()
	if err != nil {
		return answer{}, err
	}
	name, color, err := c.readCategory()
	if err != nil {
		return answer{}, err
	}
	if name != "" && name != cat.Name {
		return answer{}, errInvalidRequest("The display name of a category cannot be changed.")
	}
	if color != "" {
		cat.Color = color
	}
	return ok(c.one("outlook/masterCategories", cat.entity())), nil
}

func (c *call) deleteCategory() (answer, error) {
	if _, err := c.findCategory(); err != nil {
		return answer{}, err
	}
	kept := c.mb.categories[:0]
	for _, cat := range c.mb.categories {
		if !strings.EqualFold(cat.ID, c.path.key) {
			kept = append(kept, cat)
		}
	}
	c.mb.categories = kept
	return noContent(), nil
}

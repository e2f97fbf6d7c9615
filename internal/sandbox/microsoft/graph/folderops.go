package graph

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"encoding/json"
)

// folderCollection is the parent whose children a path names.
func (c *call) folderCollection() (*folder, string, error) {
	f, err := c.targetFolder()
	if err != nil {
		return nil, "", err
	}
	if f == nil {
		return c.mb.root, "mailFolders", nil
	}
	return f, "mailFolders" + quoteKey(c.path.folder) + "/childFolders", nil
}

func (c *call) listFolders() (answer, error) {
	parent, name, err := c.folderCollection()
	if err != nil {
		return answer{}, err
	}
	if err := c.query.checkSelect("mailFolder", folderProperties); err != nil {
		return answer{}, err
	}
	fs, err := c.selectFolders(parent)
	if err != nil {
		return answer{}, err
	}
	top, err := c.query.page(c.s.set.PageSize, c.s.set.MaxPageSize)
	if err != nil {
		return answer{}, err
	}
	start := min(c.query.skip, len(fs))
	end := min(start+top, len(fs))
	es := make([]entity, 0, end-start)
	for _, f := range fs[start:end] {
		es = append(es, c.folderEntity(f))
	}
	next := ""
	if end < len(fs) && top > 0 {
		next = c.nextLink("$skip", strconv.Itoa(end))
	}
	return ok(c.many(name, es, len(fs), next)), nil
}

func (c *call) selectFolders(parent *folder) ([]*folder, error) {
	var fs []*folder
	for _, f := range c.mb.children(parent, c.query.hiddenFolders) {
		if c.query.filter != nil {
			yes, err := truth(c.query.filter, c.folderValues(f))
			if err != nil {
				return nil, err
			}
			if !yes {
				continue
			}
		}
		fs = append(fs, f)
	}
	for _, o := range c.query.orderby {
		if _, ok := c.folderValues(parent)(o.path); !ok {
			return nil, errBadRequest("Could not find a property named '%s' on type 'microsoft.graph.mailFolder'.", o.path)
		}
	}
	if len(c.query.orderby) > 0 {
		slices.SortStableFunc(fs, func(a, b *folder) int {
			for _, o := range c.query.orderby {
				x, _ := c.folderValues(a)(o.path)
				y, _ := c.folderValues(b)(o.path)
				if n := order(x, y); n != 0 {
					if o.desc {
						return -n
					}
					return n
				}
			}
			return 0
		})
	}
	return fs, nil
}

func (c *call) countFolders() (answer, error) {
	parent, _, err := c.folderCollection()
	if err != nil {
		return answer{}, err
	}
	fs, err := c.selectFolders(parent)
	if err != nil {
		return answer{}, err
	}
	return countText(len(fs)), nil
}

func (c *call) getFolder() (answer, error) {
	f, err := c.targetFolder()
	if err != nil {
		return answer{}, err
	}
	if err := c.query.checkSelect("mailFolder", folderProperties); err != nil {
		return answer{}, err
	}
	return ok(c.one("mailFolders", c.folderEntity(f))), nil
}

func (c *call) createFolder() (answer, error) {
	parent, _, err := c.folderCollection()
	if err != nil {
		return answer{}, err
	}
	name, hidden, err := c.readFolder()
	if err != nil {
		return answer{}, err
	}
	if name == "" {
		return answer{}, errInvalidRequest("The folder's display name is missing.")
	}
	if c.mb.childNamed(parent, name) != nil {
		return answer{}, errFolderExists()
	}
	f := c.mb.addFolder(parent, name, hidden, c.now)
	a := created(c.one("mailFolders", c.folderEntity(f)))
	a.header = http.Header{"Location": {c.base + "/v1.0/users" + quoteKey(c.mb.user.Address) + "/mailFolders" + quoteKey(c.mb.ids.folder(f.num))}}
	return a, nil
}

// readFolder reads a mailFolder as a client gives it.
func (c *call) readFolder() (name string, hidden bool, err error) {
	o, err := readObject(c.body, "mailFolder", false)
	if err != nil {
		return "", false, err
	}
	for _, k := range o.keys {
		lower := strings.ToLower(k)
		if !strings.HasPrefix(k, "@") && !folderProperties[lower] {
			return "", false, errUnknownProperty(k, "mailFolder")
		}
	}
	if t, ok := o.values["@odata.type"]; ok {
		var s string
		if json.Unmarshal(t, &s) == nil && strings.Contains(s, "mailSearchFolder") {
			return "", false, errRefused("search folders are saved searches; mail clients search themselves")
		}
	}
	if name, err = readString(o.values["displayName"]); err != nil {
		return "", false, err
	}
	hidden, err = readBool(o.values["isHidden"])
	return strings.TrimSpace(name), hidden, err
}

func (c *call) updateFolder() (answer, error) {
	f, err := c.targetFolder()
	if err != nil {
		return answer{}, err
	}
	name, _, err := c.readFolder()
	if err != nil {
		return answer{}, err
	}
	if name != "" && name != f.name {
		if f.wellKnown != "" {
			return answer{}, &Error{Status: 400, Code: "ErrorInvalidOperation", Message: "Distinguished folders cannot be renamed."}
		}
		if other := c.mb.childNamed(f.parent, name); other != nil && other != f {
			return answer{}, errFolderExists()
		}
		f.name = name
		c.mb.touchFolder(f, c.now)
	}
	return ok(c.one("mailFolders", c.folderEntity(f))), nil
}

func (c *call) deleteFolder() (answer, error) {
	f, err := c.targetFolder()
	if err != nil {
		return answer{}, err
	}
	if f.wellKnown != "" {
		return answer{}, errDistinguished()
	}
	trash := c.mb.wellKnown["deleteditems"]
	if !c.s.set.DeletedFolderMoves || f.within(trash) {
		c.mb.dropFolder(f, c.now)
		return noContent(), nil
	}
	for n := 1; c.mb.childNamed(trash, f.name) != nil; n++ { // Exchange numbers what collides there
		f.name = strings.TrimRight(f.name, "0123456789") + strconv.Itoa(n)
	}
	return noContent(), c.mb.moveFolder(f, trash, c.now)
}

func (c *call) permanentlyDeleteFolder() (answer, error) {
	f, err := c.targetFolder()
	if err != nil {
		return answer{}, err
	}
	if f.wellKnown != "" {
		return answer{}, errDistinguished()
	}
	c.mb.dropFolder(f, c.now)
	return noContent(), nil
}

func (c *call) moveFolder() (answer, error) {
	f, err := c.targetFolder()
	if err != nil {
		return answer{}, err
	}
	to, err := c.destination()
	if err != nil {
		return answer{}, err
	}
	if err := c.mb.moveFolder(f, to, c.now); err != nil {
		return answer{}, err
	}
	return created(c.one("mailFolders", c.folderEntity(f))), nil
}

func (c *call) copyFolder() (answer, error) {
	f, err := c.targetFolder()
	if err != nil {
		return answer{}, err
	}
	to, err := c.destination()
	if err != nil {
		return answer{}, err
	}
	made, err := c.mb.copyFolder(f, to, c.now)
	if err != nil {
		return answer{}, err
	}
	return created(c.one("mailFolders", c.folderEntity(made))), nil
}

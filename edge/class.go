package edge

// Class is how important a request is when not all can be served.
type Class uint8

// The classes.
const (
	ClassDefault Class = iota
	ClassCritical
	ClassSheddable
	classes
)

var classNames = [classes]string{"default", "critical", "sheddable"}

// String returns the name that files and headers use.
func (c Class) String() string {
	if c < classes {
		return classNames[c]
	}
	return "unknown"
}

// ParseClass returns the class with the given name.
func ParseClass(name string) (Class, bool) {
	for c, n := range classNames {
		if n == name {
			return Class(c), true
		}
	}
	return ClassDefault, false
}

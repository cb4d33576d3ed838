package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
	"syscall"

	"github.com/penstock-edge/penstock/edge/config"
)

// stranger is a user that owns nothing: the first of those that systemd lends to a service with DynamicUser=.
const stranger = 61184

// unreadable returns the parts of a good file that a user could not read, a line each. root reads
// everything, so that a check by root alone proves little: the check is made once more by that user.
func unreadable(file, name string) (lines []string) {
	if os.Geteuid() != 0 {
		return nil
	}
	cmd := exec.Command("/proc/self/exe", "check", "--json", file)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential(name)}
	out, _ := cmd.Output() // the mistakes are in it
	var errs config.Errors
	if json.Unmarshal(out, &errs) != nil {
		return nil
	}
	copies := os.Getenv(credentialsVariable)
	for _, e := range errs {
		text := e.Error()
		if !strings.Contains(text, "permission denied") || copies != "" && strings.Contains(text, copies) {
			continue // not about reading; or a credential, of which the service gets a copy
		}
		lines = append(lines, "the user "+name+" cannot do what root can: "+text)
	}
	return lines
}

// credential is that of a user, with its groups; of one that does not exist, a stranger's.
func credential(name string) *syscall.Credential {
	c := &syscall.Credential{Uid: stranger, Gid: stranger}
	u, err := user.Lookup(name)
	if err != nil {
		return c
	}
	c.Uid, c.Gid = number(u.Uid), number(u.Gid)
	groups, _ := u.GroupIds() // without them it is a stricter check
	for _, g := range groups {
		c.Groups = append(c.Groups, number(g))
	}
	return c
}

func number(id string) uint32 {
	n, err := strconv.ParseUint(id, 10, 32)
	if err != nil {
		return stranger
	}
	return uint32(n)
}

// credentialsVariable is where systemd says which folder has the credentials of a service.
const credentialsVariable = "CREDENTIALS_DIRECTORY"

// hintCredentials is printed below mistakes that come from checking outside the service.
func hintCredentials(errs config.Errors) string {
	unset := strings.Contains(errs.Error(), credentialsVariable+" is not set")
	if os.Getenv(credentialsVariable) != "" || !unset {
		return ""
	}
	return "systemd sets " + credentialsVariable + " for the service: " +
		"here --credentials DIR names a folder instead\n"
}

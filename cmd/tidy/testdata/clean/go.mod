module example.com/gate

go 1.26

require (
	example.org/engine v1.0.0
	example.org/engine/v2 v2.0.0 // indirect
	golang.org/x/sys v0.1.0
)

require example.org/other v1.0.0

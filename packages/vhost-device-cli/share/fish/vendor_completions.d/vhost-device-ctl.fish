# fish completion for vhost-device-ctl
complete -c vhost-device-ctl -s V -l version -d 'output the version number'
complete -c vhost-device-ctl -s h -l help -d 'display help for command'

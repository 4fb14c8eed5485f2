<?php

return [
    'defaults' => ['guard' => 'api'],
    'guards' => ['api' => ['driver' => 'token']],
    'providers' => ['users' => ['driver' => 'database', 'table' => 'users']],
];

<?php
// Laravel as Debian packages it, behind PHP's own server: POST /login, GET /me. The guard is what Sanctum does for a bearer token: id|secret,
// found by its id, SHA-256 compared in constant time, the user loaded, the use noted. DB names its SQLite file.
require '/usr/share/php/Illuminate/autoload.php';

use Illuminate\Auth\Middleware\Authenticate;
use Illuminate\Contracts\Debug\ExceptionHandler;
use Illuminate\Contracts\Http\Kernel as KernelContract;
use Illuminate\Foundation\Application;
use Illuminate\Foundation\Exceptions\Handler;
use Illuminate\Foundation\Http\Kernel;
use Illuminate\Http\Request;
use Illuminate\Support\Facades\Auth;
use Illuminate\Support\Facades\DB;
use Illuminate\Support\Facades\Hash;
use Illuminate\Support\Facades\Route;

// What Laravel writes of its own start is kept beside the database, as in production.
foreach (['SERVICES', 'PACKAGES', 'CONFIG', 'ROUTES', 'EVENTS'] as $kind) {
    $_ENV["APP_{$kind}_CACHE"] = $_SERVER["APP_{$kind}_CACHE"] = dirname(getenv('DB')) . "/$kind.php";
}
$app = new Application(__DIR__);
$app->useStoragePath(dirname(getenv('DB')));
$app->singleton(KernelContract::class, Kernel::class);
$app->singleton(ExceptionHandler::class, Handler::class);
$app->booted(function () {
    Auth::viaRequest('token', function (Request $request) {
        [$id, $secret] = explode('|', $request->bearerToken() ?? '', 2) + ['', ''];
        $token = DB::table('personal_access_tokens')->where('id', $id)->first();
        if (!$token || !hash_equals($token->token, hash('sha256', $secret))) {
            return null;
        }
        DB::table('personal_access_tokens')->where('id', $id)->update(['last_used_at' => date('c')]);
        return Auth::createUserProvider('users')->retrieveById($token->user_id);
    });
    Route::post('/login', function (Request $request) {
        $user = DB::table('users')->where('email', $request->input('email'))->first();
        if (!$user || !Hash::check($request->input('password'), $user->password)) {
            return response()->json(['error' => 'invalid'], 401);
        }
        $secret = bin2hex(random_bytes(20));
        $id = DB::table('personal_access_tokens')->insertGetId(['user_id' => $user->id, 'token' => hash('sha256', $secret)]);
        return ['token' => "$id|$secret"];
    });
    Route::middleware(Authenticate::class . ':api')->get('/me', fn (Request $request) => ['id' => $request->user()->id, 'email' => $request->user()->email]);
});
$kernel = $app->make(KernelContract::class);
$response = $kernel->handle($request = Request::capture());
$response->send();
$kernel->terminate($request, $response);
